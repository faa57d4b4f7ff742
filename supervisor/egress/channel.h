// The egress's end of the control socket (control.h).
#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <optional>
#include <vector>

#include "common/fd.h"
#include "supervisor/egress/control.h"

namespace sharkcage::egress {

class Channel {
 public:
  Channel(asio::io_context& loop, UniqueFd socket);

  struct Received {
    Order order;
    std::vector<UniqueFd> sockets;  // with `Listen`, and with nothing else
  };
  // The next order; nothing at end of file. Throws UserError for what is not the protocol.
  asio::awaitable<std::optional<Received>> receive();

  // Returns once the event is with the kernel, from where the supervisor gets it even if this
  // process dies. Waits for as long as the supervisor is behind, which slows down whoever causes
  // the events.
  asio::awaitable<void> send(Event event);

 private:
  asio::posix::stream_descriptor descriptor_;
};

}  // namespace sharkcage::egress
