// Async-signal-safe: runs in PID 1 and in keepers.
#include "supervisor/sandbox/init_channel.h"

#include <sys/socket.h>

#include <cstring>

namespace sharkcage::sandbox {

bool send_report(int channel, const InitReport& report, int fd) {
  iovec part{const_cast<InitReport*>(&report), sizeof report};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  return ::sendmsg(channel, &message, MSG_NOSIGNAL) == sizeof report;
}

bool receive_order(int channel, InitOrder& order, int (&fds)[kRunFds], std::size_t& count) {
  iovec part{&order, sizeof order};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fds)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  count = 0;
  if (::recvmsg(channel, &message, MSG_CMSG_CLOEXEC) != sizeof order) return false;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return true;
  const std::size_t bytes = header->cmsg_len - CMSG_LEN(0);
  std::memcpy(fds, CMSG_DATA(header), bytes < sizeof fds ? bytes : sizeof fds);
  count = bytes / sizeof(int);
  return true;
}

}  // namespace sharkcage::sandbox
