// A socket whose open file the supervisor has as well: it outlives this process. Loop thread only.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include "common/fd.h"

namespace sharkcage::egress {

class SharedSocket {
 public:
  explicit SharedSocket(asio::io_context& loop) : watched_(loop) {}
  ~SharedSocket() { close(); }

  // Throws system_error.
  void assign(UniqueFd socket);

  bool is_open() const { return static_cast<bool>(socket_); }
  int fd() const { return socket_.get(); }

  // After a call that would not block has failed with `error`: waits until it is worth another try.
  // False when it never will be: the socket was closed, or somebody has shut it down.
  asio::awaitable<bool> wait_after(int error);

  // Until the next wait the kernel does not wake this process for it, which costs whoever causes
  // that.
  void rest();

  // Ends every wait. The supervisor's descriptor stays.
  void close();

 private:
  UniqueFd socket_;
  asio::posix::stream_descriptor watched_;  // the same descriptor, since the first wait
};

}  // namespace sharkcage::egress
