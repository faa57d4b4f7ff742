// Async-signal-safe: runs in PID 1 between clone and execve.
#include "supervisor/sandbox/network.h"

#include <arpa/inet.h>
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

int listen_for_proxy() {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0) return -1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(kProxyPort);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, kBacklog) != 0) {
    const int error = errno;
    ::close(listener);
    errno = error;
    return -1;
  }
  return listener;
}

}  // namespace sharkcage::sandbox
