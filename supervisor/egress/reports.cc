#include "supervisor/egress/reports.h"

#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <chrono>
#include <iterator>
#include <utility>

namespace sharkcage::egress {
namespace {

void append(std::vector<Connection>& to, std::vector<Connection> more) {
  to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

}  // namespace

Reports::Reports(Services& services, std::uint64_t listener)
    : services_(services),
      listener_(listener),
      due_(services.loop, asio::steady_timer::time_point::max()),
      told_(services.loop, asio::steady_timer::time_point::max()) {}

asio::awaitable<void> Reports::send(Connection event) {
  event.first_us = std::chrono::duration_cast<std::chrono::microseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  if (dialled_nothing(event)) {
    services_.refused.add(listener_, event.count);
    auto first = refusals_.add(std::move(event), std::chrono::steady_clock::now());
    if (refusals_.next_due() < due_.expiry()) due_.cancel();
    if (!first) co_return;
    event = std::move(*first);
  }
  Event message = std::move(event);
  co_await services_.channel.send(std::move(message));
}

void Reports::end(const std::string& call) {
  ended_.insert(call);
  due_.cancel();
}

asio::awaitable<void> Reports::run() {
  while (!finishing_) {
    std::vector<Connection> counted;
    const auto ended = std::exchange(ended_, {});
    for (const std::string& call : ended) append(counted, refusals_.take_of(call));
    append(counted, refusals_.take_due(std::chrono::steady_clock::now()));
    co_await tell(std::move(counted));
    if (finishing_ || !ended_.empty()) continue;
    due_.expires_at(refusals_.next_due());
    asio::error_code ignored;
    co_await due_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  std::vector<Connection> rest = refusals_.take_all();
  co_await tell(std::move(rest));
  finished_ = true;
  told_.cancel();
}

asio::awaitable<void> Reports::finish() {
  finishing_ = true;
  due_.cancel();
  while (!finished_) {
    asio::error_code ignored;
    co_await told_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

asio::awaitable<void> Reports::tell(std::vector<Connection> events) {
  for (Connection& event : events) {
    Event message = std::move(event);
    co_await services_.channel.send(std::move(message));
  }
}

}  // namespace sharkcage::egress
