#include "supervisor/egress/relay.h"

#include <sys/socket.h>

#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <exception>
#include <new>
#include <string>

namespace sharkcage::egress {
namespace {

// Blocks that one direction may move before others get their turn.
constexpr int kTurn = 16;

struct Direction {
  Stream& from;
  Stream& to;
  RelayBuffers& buffers;
  std::uint64_t& bytes;
  const std::function<void()>& progress;
};

// Bytes that the reader did not take at once, counted while they wait.
class Waiting {
 public:
  Waiting(RelayBuffers& buffers, std::string bytes) : buffers_(buffers), bytes_(std::move(bytes)) {
    buffers_.add_waiting(bytes_.size());
  }
  ~Waiting() { buffers_.remove_waiting(bytes_.size()); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  const std::string& bytes() const { return bytes_; }

 private:
  RelayBuffers& buffers_;
  std::string bytes_;
};

asio::awaitable<int> write_waiting(Direction& way, const Waiting& waiting) {
  std::size_t done = 0;
  while (done < waiting.bytes().size()) {
    const bool ready = co_await way.to.writable();
    if (!ready) co_return ECANCELED;
    const ssize_t wrote =
        way.to.write(waiting.bytes().data() + done, waiting.bytes().size() - done);
    if (wrote < 0 && errno == EAGAIN) continue;
    if (wrote < 0) co_return errno;
    done += static_cast<std::size_t>(wrote);
    way.bytes += static_cast<std::uint64_t>(wrote);
    way.progress();
  }
  co_return 0;
}

// Moves one direction to its end. Returns 0 at end of file, else what broke it.
asio::awaitable<int> pump(asio::io_context& loop, Direction way) {
  for (int moved = 0;; ++moved) {
    if (way.from.is_cut() || way.to.is_cut()) co_return ECANCELED;
    if (moved == kTurn) {
      moved = 0;
      co_await asio::post(loop, asio::use_awaitable);
    }
    const ssize_t got = way.from.read(way.buffers.block(), way.buffers.block_size());
    if (got == 0) {
      ::shutdown(way.to.fd(), SHUT_WR);
      way.progress();
      co_return 0;
    }
    if (got < 0) {
      if (errno != EAGAIN) co_return errno;
      const bool ready = co_await way.from.readable();
      if (!ready) co_return ECANCELED;
      continue;
    }
    // The shared block is ours until the next co_await.
    const ssize_t wrote = way.to.write(way.buffers.block(), static_cast<std::size_t>(got));
    if (wrote < 0 && errno != EAGAIN) co_return errno;
    const std::size_t sent = wrote < 0 ? 0 : static_cast<std::size_t>(wrote);
    way.bytes += sent;
    way.progress();
    if (sent < static_cast<std::size_t>(got)) {
      const Waiting waiting(way.buffers, std::string(way.buffers.block() + sent,
                                                     static_cast<std::size_t>(got) - sent));
      const int error = co_await write_waiting(way, waiting);
      if (error != 0) co_return error;
    }
  }
}

}  // namespace

asio::awaitable<void> relay(asio::io_context& loop, Stream& client, Stream& upstream,
                            RelayBuffers& buffers, Traffic& traffic) {
  asio::steady_timer up_ended(loop, asio::steady_timer::time_point::max());
  bool up_done = false;
  const auto cut_both_on = [&](int error) {
    if (error == 0) return;
    client.cut();
    upstream.cut();
  };
  asio::co_spawn(loop,
                 pump(loop, Direction{client, upstream, buffers, traffic.up, traffic.progress}),
                 [&](const std::exception_ptr& thrown, int error) {
                   traffic.up_error = thrown ? ENOMEM : error;
                   cut_both_on(traffic.up_error);
                   up_done = true;
                   up_ended.cancel();
                 });
  traffic.down_error = ENOMEM;
  try {
    const Direction down{upstream, client, buffers, traffic.down, traffic.progress};
    traffic.down_error = co_await pump(loop, down);
  } catch (const std::bad_alloc&) {
    // The other direction still uses this frame: it is cut and waited for like after any error.
  }
  cut_both_on(traffic.down_error);
  if (!up_done) {
    asio::error_code ignored;
    co_await up_ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

}  // namespace sharkcage::egress
