#include "supervisor/egress/server.h"

#include <sys/resource.h>

#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/use_awaitable.hpp>
#include <utility>

#include "common/errors.h"

namespace sharkcage::egress {

void EgressLimits::lower_to_descriptors() {
  constexpr std::size_t kOthers = 256;
  rlimit descriptors{};
  if (::getrlimit(RLIMIT_NOFILE, &descriptors) != 0) throw_errno("getrlimit RLIMIT_NOFILE");
  const auto pairs = (std::max<std::size_t>(descriptors.rlim_cur, kOthers + 2) - kOthers) / 2;
  all_connections = std::min(all_connections, pairs);
}

Server::Server(asio::io_context& loop, UniqueFd control, Resolver& resolver, RefusedCounts& refused,
               EgressLimits limits)
    : loop_(loop),
      channel_(loop, std::move(control)),
      services_(loop, channel_, resolver, refused, limits) {}

void Server::start(Ready ready, std::function<void()> ended) {
  asio::co_spawn(loop_, take_orders(ready, std::move(ended)), rethrow);
}

asio::awaitable<void> Server::take_orders(Ready ready, std::function<void()> ended) {
  Event hello = ready;
  co_await channel_.send(std::move(hello));
  for (;;) {
    auto received = co_await channel_.receive();
    if (!received) break;
    if (auto* order = std::get_if<Listen>(&received->order)) {
      co_await listen(std::move(*order), std::move(received->sockets));
    } else if (auto* admit = std::get_if<Admit>(&received->order)) {
      // A listener that could not be served is known to the supervisor by then.
      const auto found = listeners_.find(admit->id);
      if (found != listeners_.end()) found->second->admit(std::move(admit->token));
    } else if (const auto* dismiss = std::get_if<Dismiss>(&received->order)) {
      const auto found = listeners_.find(dismiss->id);
      if (found != listeners_.end()) found->second->dismiss(dismiss->call);
    } else {
      co_await close(std::get<Close>(received->order).id);
    }
  }
  ended();
}

asio::awaitable<void> Server::close(std::uint64_t id) {
  const auto found = listeners_.find(id);
  if (found == listeners_.end()) {
    // It was never served, or its socket failed; the supervisor still waits for the answer.
    Event closed = Closed{id};
    co_await channel_.send(std::move(closed));
    co_return;
  }
  found->second->close();
  listeners_.erase(found);
}

asio::awaitable<void> Server::listen(Listen order, std::vector<UniqueFd> sockets) {
  const std::uint64_t id = order.id;
  if (id <= last_id_) throw UserError("egress protocol: a listener's id that was used before");
  last_id_ = id;
  std::shared_ptr<Listener> listener;
  std::string refused;
  try {
    listener = std::make_shared<Listener>(services_, std::move(order), std::move(sockets));
  } catch (const UserError& error) {
    refused = error.full();
  }
  if (!listener) {
    // A name for the event: GCC 12 copies an aggregate's temporary bitwise into a co_await's frame.
    Event failed = Failed{id, std::move(refused)};
    co_await channel_.send(std::move(failed));
    co_return;
  }
  listeners_[id] = listener;
  asio::co_spawn(
      loop_, [listener] { return listener->run(); }, rethrow);
}

}  // namespace sharkcage::egress
