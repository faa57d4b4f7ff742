#include "common/peer.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "common/errors.h"
#include "common/fd.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5
#endif

namespace sharkcage {
namespace {

bool same_namespace(const std::string& process, const char* kind) {
  struct stat theirs{};
  struct stat ours{};
  return ::stat((process + "/ns/" + kind).c_str(), &theirs) == 0 &&
         ::stat((std::string("/proc/self/ns/") + kind).c_str(), &ours) == 0 &&
         theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

// A descriptor that pins the peer's process, so that its id cannot be reused while it is looked at.
// Before 6.5 the id is looked up, which leaves a peer that died at once a chance to be mistaken.
UniqueFd pin(int socket, pid_t pid) {
  int fd = -1;
  socklen_t size = sizeof fd;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) == 0) return UniqueFd(fd);
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

bool alive(int pidfd) {
  pollfd poll_for{pidfd, POLLIN, 0};
  return ::poll(&poll_for, 1, 0) == 0;
}

}  // namespace

Peer peer_of(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    throw_errno("getsockopt", "SO_PEERCRED");
  }
  Peer peer{credentials.pid, credentials.uid, credentials.gid, false};
  if (credentials.pid <= 0) return peer;  // not visible from our pid namespace
  const UniqueFd process = pin(socket, credentials.pid);
  if (!process) return peer;
  const std::string proc = "/proc/" + std::to_string(credentials.pid);
  peer.same_namespaces =
      same_namespace(proc, "user") && same_namespace(proc, "pid") && alive(process.get());
  return peer;
}

}  // namespace sharkcage
