// A nonblocking socket on the loop, and a deadline for whatever waits on it.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string_view>

#include "common/fd.h"

namespace sharkcage::egress {

// Not before it stands, and no longer once it was reset.
bool is_connected(int fd);

// Owns a connected or connecting stream socket of any family. Waiting is asio's, reading and
// writing are plain system calls, so that nothing is buffered here. Loop thread only.
class Stream {
 public:
  Stream(asio::io_context& loop, UniqueFd socket);

  int fd() { return descriptor_.native_handle(); }

  // Wait until a read or a write would not block. False once the stream was cut: the only way in
  // which a wait ends without readiness.
  asio::awaitable<bool> readable();
  asio::awaitable<bool> writable();

  // recv(2) and send(2) without blocking: bytes, 0 at end of file, or -1 with errno.
  ssize_t read(void* data, std::size_t size);
  ssize_t write(const void* data, std::size_t size);

  // Writes everything, waiting as needed. False when the peer is gone or the stream was cut.
  asio::awaitable<bool> write_all(std::string_view data);

  // Ends every present and future wait.
  void cut();
  bool is_cut() const { return cut_; }

  // The peer gets a reset in place of an orderly end, so that a broken stream is not taken for
  // whole.
  void reset_on_close();

 private:
  asio::posix::stream_descriptor descriptor_;
  bool cut_ = false;
};

// Calls `expired` once the set time has passed without `set` or `clear`. Loop thread only; what
// `expired` refers to must outlive the deadline or be checked in it.
class Deadline {
 public:
  explicit Deadline(asio::io_context& loop) : timer_(loop) {}
  void set(std::chrono::steady_clock::duration after, std::function<void()> expired);
  void clear();

 private:
  asio::steady_timer timer_;
  // A timer that has fired cannot be cancelled any more; its handler finds that it is outdated.
  std::shared_ptr<int> generation_;
};

}  // namespace sharkcage::egress
