#include "supervisor/sandbox/identity.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "common/errors.h"
#include "supervisor/sandbox/root.h"
#include "supervisor/sandbox/syscalls.h"

namespace sharkcage::sandbox {
namespace {

void write_proc(pid_t pid, const char* name, const std::string& text) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) throw_errno("open", path);
  // One write: the kernel takes a map as a whole.
  if (::write(file.get(), text.data(), text.size()) < 0) throw_errno("write", path);
}

std::string map_one(unsigned inside, unsigned outside) {
  return std::to_string(inside) + " " + std::to_string(outside) + " 1\n";
}

}  // namespace

void write_id_maps(pid_t init, const Identity& identity) {
  const uid_t uid = identity.privileged() ? identity.host_uid : ::geteuid();
  const gid_t gid = identity.privileged() ? static_cast<gid_t>(identity.host_uid) : ::getegid();
  // Without privilege a group map needs this first, and the groups stay (user_namespaces(7)).
  if (!identity.privileged()) write_proc(init, "setgroups", "deny");
  write_proc(init, "uid_map", map_one(inside_uid(identity), uid));
  write_proc(init, "gid_map", map_one(inside_gid(identity), gid));
}

UniqueFd make_idmap(uid_t uid, gid_t gid, uid_t host_uid) {
  // A namespace needs a process to be made; it only waits to be killed.
  clone_args args{};
  args.flags = CLONE_NEWUSER;
  args.exit_signal = SIGCHLD;
  const pid_t holder = sys::clone3(args);
  if (holder < 0) throw_errno("clone3", "for an id-mapped mount");
  if (holder == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    for (;;) ::pause();
  }
  UniqueFd user_namespace;
  int error = 0;
  try {
    write_proc(holder, "uid_map", map_one(uid, host_uid));
    write_proc(holder, "gid_map", map_one(gid, host_uid));
    const std::string path = "/proc/" + std::to_string(holder) + "/ns/user";
    user_namespace.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!user_namespace) error = errno;
  } catch (...) {
    ::kill(holder, SIGKILL);
    ::waitpid(holder, nullptr, 0);
    throw;
  }
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
  if (!user_namespace) throw_errno(error, "open", "the user namespace of an id-mapped mount");
  return user_namespace;
}

}  // namespace sharkcage::sandbox
