// The egress process's loop: takes orders, keeps the listeners.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "supervisor/egress/listener.h"
#include "supervisor/egress/services.h"

namespace sharkcage::egress {

class Server {
 public:
  // `control`: the SEQPACKET socket of control.h. Throws system_error.
  Server(asio::io_context& loop, UniqueFd control, Resolver& resolver, RefusedCounts& refused,
         EgressLimits limits);

  // Says `ready`, then carries out orders until `control` ends; then calls `ended`. What breaks the
  // protocol is thrown out of the loop's run().
  void start(Ready ready, std::function<void()> ended);

 private:
  asio::awaitable<void> take_orders(Ready ready, std::function<void()> ended);
  asio::awaitable<void> listen(Listen order, std::vector<UniqueFd> sockets);
  asio::awaitable<void> close(std::uint64_t id);

  asio::io_context& loop_;
  Channel channel_;
  Services services_;
  std::map<std::uint64_t, std::shared_ptr<Listener>> listeners_;
  std::uint64_t last_id_ = 0;
};

}  // namespace sharkcage::egress
