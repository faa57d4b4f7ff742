#include "supervisor/egress/stream.h"

#include <sys/socket.h>

#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <memory>

namespace sharkcage::egress {

bool is_connected(int fd) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  return ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
}

Stream::Stream(asio::io_context& loop, UniqueFd socket) : descriptor_(loop) {
  descriptor_.assign(socket.get());
  socket.release();
}

asio::awaitable<bool> Stream::readable() {
  if (cut_) co_return false;
  asio::error_code error;
  co_await descriptor_.async_wait(asio::posix::descriptor_base::wait_read,
                                  asio::redirect_error(asio::use_awaitable, error));
  co_return !error && !cut_;
}

asio::awaitable<bool> Stream::writable() {
  if (cut_) co_return false;
  asio::error_code error;
  co_await descriptor_.async_wait(asio::posix::descriptor_base::wait_write,
                                  asio::redirect_error(asio::use_awaitable, error));
  co_return !error && !cut_;
}

ssize_t Stream::read(void* data, std::size_t size) {
  ssize_t got;
  do {
    got = ::recv(fd(), data, size, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  return got;
}

ssize_t Stream::write(const void* data, std::size_t size) {
  ssize_t sent;
  do {
    sent = ::send(fd(), data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

asio::awaitable<bool> Stream::write_all(std::string_view data) {
  while (!data.empty()) {
    const ssize_t sent = write(data.data(), data.size());
    if (sent >= 0) {
      data.remove_prefix(static_cast<std::size_t>(sent));
      continue;
    }
    if (errno != EAGAIN) co_return false;
    const bool ready = co_await writable();
    if (!ready) co_return false;
  }
  co_return true;
}

void Stream::cut() {
  cut_ = true;
  asio::error_code ignored;
  descriptor_.cancel(ignored);
}

void Stream::reset_on_close() {
  const linger now{1, 0};
  ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void Deadline::set(std::chrono::steady_clock::duration after, std::function<void()> expired) {
  timer_.expires_after(after);
  generation_ = std::make_shared<int>();
  timer_.async_wait([watched = std::weak_ptr<int>(generation_),
                     expired = std::move(expired)](const asio::error_code& error) {
    if (!error && !watched.expired()) expired();
  });
}

void Deadline::clear() {
  generation_.reset();
  timer_.cancel();
}

}  // namespace sharkcage::egress
