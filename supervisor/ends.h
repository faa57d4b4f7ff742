// Something that others may wait for has ended: the last process of a call, a sandbox.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <system_error>

namespace sharkcage {

// One thread.
class Ends {
 public:
  explicit Ends(asio::io_context& context)
      : waiting_(context, asio::steady_timer::time_point::max()) {}

  void note() { waiting_.cancel(); }
  // Until the next one. Whoever waits for a certain one looks again then.
  asio::awaitable<void> next() {
    std::error_code woken;
    co_await waiting_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  }

 private:
  asio::steady_timer waiting_;
};

}  // namespace sharkcage
