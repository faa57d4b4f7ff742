// Async-signal-safe: runs in PID 1 between clone and execve.
#include "supervisor/sandbox/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "supervisor/sandbox/spec.h"
#include "supervisor/sandbox/weakened.h"

namespace sharkcage::sandbox {
namespace {

constexpr int kBacklog = 512;
// SO_RCVMARK of asm-generic/socket.h, since Linux 5.19: the headers may be older.
constexpr int kReceiveMark = 75;

// In the host's namespace, where the tests leave ours out, these may be taken.
std::uint16_t free_port(std::uint16_t port) {
  return weakened::leaves_out(weakened::Layer::kNetwork) ? 0 : port;
}

int bound(int socket, int type, const void* address, socklen_t size) {
  if (socket < 0) return -1;
  if (::bind(socket, static_cast<const sockaddr*>(address), size) == 0 &&
      (type != SOCK_STREAM || ::listen(socket, kBacklog) == 0)) {
    return socket;
  }
  const int error = errno;
  ::close(socket);
  errno = error;
  return -1;
}

int on_loopback(int type, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const int socket = ::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return bound(socket, type, &address, sizeof address);
}

// For 127.0.0.1 and ::1. There are no other addresses in the namespace.
int on_any_v6(std::uint16_t port) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  const int socket = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int both = 0;
  if (socket >= 0) ::setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof both);
  return bound(socket, SOCK_STREAM, &address, sizeof address);
}

}  // namespace

int bring_up_loopback() {
  if (weakened::leaves_out(weakened::Layer::kNetwork)) return 0;  // the host's, which is up
  const int control = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control < 0) return -1;
  ifreq request{};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP;
  const int result = ::ioctl(control, SIOCSIFFLAGS, &request);
  const int error = errno;
  ::close(control);
  errno = error;
  return result;
}

int keep_marks(int proc) {
  if (weakened::leaves_out(weakened::Layer::kNetwork)) return 0;
  const int setting = ::openat(proc, "sys/net/ipv4/tcp_fwmark_accept", O_WRONLY | O_CLOEXEC);
  if (setting < 0) return -1;
  const int result = ::write(setting, "1", 1) == 1 ? 0 : -1;
  const int error = errno;
  ::close(setting);
  errno = error;
  return result;
}

int open_network_socket(NetworkFd which) {
  switch (which) {
    case kProxyFd:
      return on_loopback(SOCK_STREAM, kProxyPort);
    case kCaughtFd: {
      const int both = on_any_v6(free_port(kCaughtPort));
      return both >= 0 ? both : on_loopback(SOCK_STREAM, free_port(kCaughtPort));
    }
    case kNamesFd: {
      const int socket = on_loopback(SOCK_DGRAM, free_port(kNamesPort));
      const int on = 1;
      if (socket >= 0) ::setsockopt(socket, SOL_SOCKET, kReceiveMark, &on, sizeof on);
      return socket;
    }
    case kNamesStreamFd:
      return on_loopback(SOCK_STREAM, free_port(kNamesPort));
    case kLinkFd:
    case kNetworkFds:
      break;
  }
  errno = EINVAL;
  return -1;
}

}  // namespace sharkcage::sandbox
