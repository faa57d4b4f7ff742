#include "supervisor/sandbox/input_relay.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <tuple>

#include "common/errors.h"

namespace sharkcage::sandbox {
namespace {

// A pipe holds as much unless its size was changed (pipe(7)).
constexpr std::size_t kBlock = 65536;

}  // namespace

bool InputRelay::is_needed(int client) {
  struct stat status {};
  if (::fstat(client, &status) != 0) throw_errno("fstat", "the input of a command");
  return S_ISSOCK(status.st_mode);
}

InputRelay::InputRelay(UniqueFd client) : from_(std::move(client)) {
  std::tie(end_, to_) = make_pipe();
  if (::fcntl(to_.get(), F_SETFL, O_NONBLOCK) != 0) throw_errno("fcntl", "O_NONBLOCK");
}

void InputRelay::add_to(std::vector<pollfd>& events) const {
  if (!to_) return;
  if (rest_.empty()) events.push_back({from_.get(), POLLIN, 0});
  // Without a wish, poll(2) tells that nobody reads any more.
  events.push_back({to_.get(), static_cast<short>(rest_.empty() ? 0 : POLLOUT), 0});
}

void InputRelay::hear(const std::vector<pollfd>& events) {
  for (const pollfd& event : events) {
    if (event.revents == 0 || !to_) continue;
    if (event.fd == to_.get()) {
      if ((event.revents & POLLERR) != 0) {
        from_.reset();
        to_.reset();
      } else {
        write();
      }
    } else if (from_ && event.fd == from_.get()) {
      read();
    }
  }
}

// Descriptors that came along are closed by the kernel (recv takes none).
void InputRelay::read() {
  static char block[kBlock];
  const ssize_t got = ::recv(from_.get(), block, sizeof block, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    from_.reset();
    to_.reset();
    return;
  }
  rest_.assign(block, static_cast<std::size_t>(got));
  write();
}

void InputRelay::write() {
  const ssize_t written = ::write(to_.get(), rest_.data(), rest_.size());
  if (written < 0 && errno != EAGAIN && errno != EINTR) {
    from_.reset();
    to_.reset();
  }
  if (written > 0) rest_.erase(0, static_cast<std::size_t>(written));
}

}  // namespace sharkcage::sandbox
