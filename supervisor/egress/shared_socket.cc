#include "supervisor/egress/shared_socket.h"

#include <fcntl.h>

#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <chrono>
#include <utility>

#include "common/errors.h"

namespace sharkcage::egress {
namespace {

// Descriptors or memory have run out on the host: nothing tells when that is over.
constexpr auto kScarcityPause = std::chrono::milliseconds(100);

bool is_scarcity(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// The descriptor is no working socket any more.
bool is_final(int error) {
  return error == EBADF || error == EINVAL || error == ENOTSOCK;
}

}  // namespace

void SharedSocket::assign(UniqueFd socket) {
  if (::fcntl(socket.get(), F_SETFL, O_NONBLOCK) != 0) throw_errno("fcntl O_NONBLOCK");
  socket_ = std::move(socket);
}

// Everything else is about something that is over: one connection before it was accepted
// (accept(2)), a datagram that was sent before (udp(7)).
asio::awaitable<bool> SharedSocket::wait_after(int error) {
  asio::error_code ignored;
  if (is_scarcity(error)) {
    asio::steady_timer pause(watched_.get_executor(), kScarcityPause);
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  } else if (error == EAGAIN && is_open()) {
    if (!watched_.is_open()) watched_.assign(fd());
    co_await watched_.async_wait(asio::posix::descriptor_base::wait_read,
                                 asio::redirect_error(asio::use_awaitable, ignored));
  }
  co_return is_open() && !is_final(error);
}

// asio leaves it to close(2) to take a descriptor out of its epoll set. That does not happen here,
// since another process holds the same open file, and epoll would go on reporting it (epoll(7)).
void SharedSocket::rest() {
  if (watched_.is_open()) watched_.release();
}

void SharedSocket::close() {
  rest();
  socket_.reset();
}

}  // namespace sharkcage::egress
