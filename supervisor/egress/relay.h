// Copies bytes between two streams, both ways at once.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "supervisor/egress/stream.h"

namespace sharkcage::egress {

// The relays of one loop share a block for bytes that are only passing through. What a slow reader
// did not take waits in memory of its own, at most a block a direction, and nothing is read for it
// meanwhile, so that the writer is slowed down by TCP. Over `kWaitingBudget` in all, blocks are
// small.
class RelayBuffers {
 public:
  static constexpr std::size_t kBlock = 64u << 10;
  static constexpr std::size_t kSmallBlock = 4u << 10;
  static constexpr std::size_t kWaitingBudget = 64u << 20;

  char* block() { return block_.get(); }
  std::size_t block_size() const { return waiting_ < kWaitingBudget ? kBlock : kSmallBlock; }
  void add_waiting(std::size_t bytes) { waiting_ += bytes; }
  void remove_waiting(std::size_t bytes) { waiting_ -= bytes; }
  std::size_t waiting() const { return waiting_; }

 private:
  std::unique_ptr<char[]> block_ = std::make_unique<char[]>(kBlock);
  std::size_t waiting_ = 0;
};

struct Traffic {
  std::uint64_t up = 0;    // bytes written to upstream
  std::uint64_t down = 0;  // bytes written to the client
  int up_error = 0;        // errno of the direction that broke
  int down_error = 0;
  std::function<void()> progress;  // called whenever bytes have moved
};

// Returns when both sides have ended their half of the stream, or one has broken or was cut. An end
// of one half is passed on as an end of that half only. Does not close the streams.
asio::awaitable<void> relay(asio::io_context& loop, Stream& client, Stream& upstream,
                            RelayBuffers& buffers, Traffic& traffic);

}  // namespace sharkcage::egress
