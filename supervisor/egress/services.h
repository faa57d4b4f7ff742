// What every connection of one egress process shares. Loop thread only.
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>

#include "supervisor/egress/channel.h"
#include "supervisor/egress/refused_counts.h"
#include "supervisor/egress/relay.h"
#include "supervisor/egress/resolver.h"
#include "supervisor/egress/routes.h"

namespace sharkcage::egress {

// Every limit that a sandbox can run into, in one place.
struct EgressLimits {
  std::chrono::milliseconds handshake = std::chrono::seconds(10);
  std::chrono::milliseconds resolve = std::chrono::seconds(15);
  std::chrono::milliseconds connect = std::chrono::seconds(20);  // an address
  std::chrono::milliseconds idle = std::chrono::minutes(30);     // without a byte either way
  std::chrono::milliseconds farewell = std::chrono::seconds(2);  // to read why it was refused
  std::size_t connections = 1024;       // of one sandbox; further ones wait in its backlog
  std::size_t all_connections = 16384;  // lowered to what RLIMIT_NOFILE allows
  unsigned lookups = 2;                 // of one sandbox at once
  std::chrono::milliseconds question = std::chrono::seconds(10);  // until it is there as a whole
  std::size_t questions = 32;            // of one sandbox at once; further ones wait in its sockets
  std::size_t question_connections = 8;  // of one sandbox; further ones wait in its backlog

  // A connection has two descriptors; some are left for name resolution and the loop itself.
  void lower_to_descriptors();
};

// For co_spawn: what no coroutine expected ends the process, and the supervisor starts another.
inline void rethrow(const std::exception_ptr& thrown) {
  if (thrown) std::rethrow_exception(thrown);
}

struct Services {
  Services(asio::io_context& loop_, Channel& channel_, Resolver& resolver_, RefusedCounts& refused_,
           EgressLimits limits_)
      : loop(loop_),
        channel(channel_),
        resolver(resolver_),
        refused(refused_),
        limits(limits_),
        slot_freed(loop_, asio::steady_timer::time_point::max()) {}

  asio::io_context& loop;
  Channel& channel;
  Resolver& resolver;
  RefusedCounts& refused;
  EgressLimits limits;
  Routes routes;
  RelayBuffers buffers;
  std::uint64_t last_connection = 0;
  std::size_t connections = 0;    // open ones, of all sandboxes
  asio::steady_timer slot_freed;  // cancelled, which wakes all who wait, when a connection ends
};

}  // namespace sharkcage::egress
