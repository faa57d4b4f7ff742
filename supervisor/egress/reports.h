// What one listener tells the supervisor of its connections.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "supervisor/egress/control.h"
#include "supervisor/egress/refusals.h"
#include "supervisor/egress/services.h"

namespace sharkcage::egress {

// Loop thread only.
class Reports {
 public:
  Reports(Services& services, std::uint64_t listener);

  // Returns once the event is with the kernel (`Channel::send`), or was counted to be told later.
  asio::awaitable<void> send(Connection event);

  // The call is over: what was counted of it is told soon.
  void end(const std::string& call);

  // Tells what was counted when it is due, until `finish`.
  asio::awaitable<void> run();

  // Returns when everything was told. Nothing may be sent any more.
  asio::awaitable<void> finish();

 private:
  asio::awaitable<void> tell(std::vector<Connection> events);

  Services& services_;
  const std::uint64_t listener_;
  Refusals refusals_;
  std::set<std::string> ended_;
  asio::steady_timer due_;  // cancelled when there may be something to tell before
  asio::steady_timer told_;
  bool finishing_ = false;
  bool finished_ = false;
};

}  // namespace sharkcage::egress
