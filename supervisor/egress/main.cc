// sharkcage-egress: started by the supervisor with its descriptors in place (control.h), never by
// hand.

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <cstdio>
#include <exception>

#include "common/errors.h"
#include "supervisor/egress/confine.h"
#include "supervisor/egress/resolver.h"
#include "supervisor/egress/server.h"

namespace sharkcage::egress {
namespace {

// Nothing is left to flush, and threads may be inside a name server's time-out.
[[noreturn]] void end(int status) {
  ::_exit(status);
}

void check_descriptors() {
  int type = 0;
  socklen_t size = sizeof type;
  struct stat lifeline {};
  if (::getsockopt(kControlFd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET ||
      ::fstat(kLifelineFd, &lifeline) != 0 || !S_ISFIFO(lifeline.st_mode)) {
    throw UserError("sharkcage-egress is a part of sharkcaged and does not run alone",
                    "Run: sc start");
  }
}

void run(const Ready& ready, RefusedCounts& refused) {
  asio::io_context loop(1);
  SystemResolver resolver(loop);
  EgressLimits limits;
  limits.lower_to_descriptors();
  Server server(loop, UniqueFd(kControlFd), resolver, refused, limits);
  asio::posix::stream_descriptor lifeline(loop, kLifelineFd);
  lifeline.async_wait(asio::posix::descriptor_base::wait_read,
                      [](const asio::error_code&) { end(0); });
  server.start(ready, [] { end(0); });
  loop.run();
}

// The last word on the control socket: stderr is gone once the process is confined.
void tell_failure(const std::string& reason) {
  std::fprintf(stderr, "sharkcage-egress: %s\n", reason.c_str());
  send_with_fds(kControlFd, event_to_text(Failed{0, reason}), {}, MSG_DONTWAIT);
}

int serve() {
  try {
    check_descriptors();
  } catch (const UserError& error) {
    std::fprintf(stderr, "sharkcage-egress: %s\n", error.full().c_str());
    return 2;
  }
  try {
    SystemResolver::prepare();
    RefusedCounts refused(kCountsFd);  // before confine() closes it
    run(confine(), refused);
  } catch (const std::exception& error) {
    tell_failure(error.what());
  }
  return 1;
}

}  // namespace
}  // namespace sharkcage::egress

int main() {
  sharkcage::egress::end(sharkcage::egress::serve());
}
