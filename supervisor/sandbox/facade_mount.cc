// Async-signal-safe: runs in PID 1 between clone and execve. No allocation, no exception, no
// locale.
#include "supervisor/sandbox/facade_mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "supervisor/sandbox/syscalls.h"

namespace sharkcage::sandbox {
namespace {

constexpr const char* kDevice = "/dev/fuse";
constexpr std::size_t kMaxFds = 3;

// A number as text, without stdio, for fsconfig.
struct Decimal {
  explicit Decimal(unsigned value) {
    do {
      *--begin = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
  }
  char text[16] = {};
  char* begin = text + sizeof text - 1;
};

int send_message(int link, const FacadeMessage& message, const int* fds, std::size_t count) {
  iovec part{const_cast<FacadeMessage*>(&message), sizeof message};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (count > 0) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(count * sizeof(int));
    std::memcpy(CMSG_DATA(rights), fds, count * sizeof(int));
  }
  return ::sendmsg(link, &header, MSG_NOSIGNAL) == sizeof message ? 0 : -1;
}

bool configure(int context, int device) {
  const Decimal fd(static_cast<unsigned>(device));
  const Decimal uid(::geteuid());
  const Decimal gid(::getegid());
  const auto set = [context](const char* key, const char* value) {
    return ::fsconfig(context, value == nullptr ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING, key,
                      value, 0) == 0;
  };
  // allow_other: every process of this user namespace, and no other (fuse_allow_current_process).
  return set("source", "sharkcage") && set("fd", fd.begin) && set("rootmode", "40000") &&
         set("user_id", uid.begin) && set("group_id", gid.begin) &&
         set("default_permissions", nullptr) && set("allow_other", nullptr) &&
         ::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0;
}

int new_file_system(int device) {
  const int context = ::fsopen("fuse", FSOPEN_CLOEXEC);
  if (context < 0) return -1;
  const int mount = configure(context, device)
                        ? ::fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
                        : -1;
  const int error = errno;
  ::close(context);
  errno = error;
  return mount;
}

}  // namespace

bool facade_possible() {
  const int device = ::open(kDevice, O_RDWR | O_CLOEXEC);
  if (device >= 0) ::close(device);
  return device >= 0;
}

FacadeEnds open_facade_ends(const Plan& plan) {
  FacadeEnds ends;
  if (plan.facade_link < 0) return ends;
  ends.link = plan.facade_link;
  ends.device = ::open(kDevice, O_RDWR | O_CLOEXEC);
  // As long as the host's /proc is there.
  ends.user_namespace = ::open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
  ends.mount_namespace = ::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  return ends;
}

int mount_facade(FacadeEnds& ends, int storage) {
  if (ends.link < 0) return -1;
  const bool complete =
      ends.device >= 0 && ends.user_namespace >= 0 && ends.mount_namespace >= 0 && storage >= 0;
  const int mount = complete ? new_file_system(ends.device) : -1;
  if (mount < 0) {
    leave_facade(ends, errno);
    return -1;
  }
  FacadeMessage message;
  message.kind = FacadeMessage::kConnect;
  message.uid = ::geteuid();
  message.gid = ::getegid();
  const int fds[] = {ends.device, storage};
  const int sent = send_message(ends.link, message, fds, 2);
  ::close(std::exchange(ends.device, -1));
  if (sent == 0) return mount;
  ::close(mount);
  return -1;
}

void leave_facade(const FacadeEnds& ends, int error) {
  if (ends.link < 0) return;
  FacadeMessage message;
  message.kind = FacadeMessage::kUnavailable;
  message.error = error;
  send_message(ends.link, message, nullptr, 0);
}

void look_ahead(int at, const char* directory) {
  const int opened = ::openat(at, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  alignas(long) char entries[16384];
  while (opened >= 0 && ::syscall(SYS_getdents64, opened, entries, sizeof entries) > 0) continue;
  if (opened >= 0) ::close(opened);
}

int clone_facade(int top, const char* name, std::uint64_t attributes) {
  const int tree = ::open_tree(top, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  mount_attr wanted{};
  wanted.attr_set = attributes;
  if (tree < 0 || ::mount_setattr(tree, "", AT_EMPTY_PATH, &wanted, sizeof wanted) == 0) {
    return tree;
  }
  const int error = errno;
  ::close(tree);
  errno = error;
  return -1;
}

int seal_facade(const FacadeEnds& ends) {
  const int proc = ::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0) return -1;
  FacadeMessage message;
  message.kind = FacadeMessage::kSeal;
  const int fds[] = {proc, ends.user_namespace, ends.mount_namespace};
  const int sent = send_message(ends.link, message, fds, 3);
  ::close(proc);
  if (sent != 0) return -1;
  const ssize_t size = ::recv(ends.link, &message, sizeof message, 0);
  if (size == sizeof message) return 0;
  if (size >= 0) errno = ECONNRESET;
  return -1;
}

}  // namespace sharkcage::sandbox
