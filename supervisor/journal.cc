#include "supervisor/journal.h"

#include <spdlog/spdlog.h>

#include <asio/async_result.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>

namespace sharkcage {

Journal::Journal(asio::io_context& context, audit::Log& log,
                 std::function<void(std::string)> failed)
    : context_(context), log_(log), failed_(std::move(failed)) {}

void Journal::append(audit::Record record, std::function<void(std::string, audit::Committed)> done,
                     audit::Log::Haste haste) {
  ++appended_;
  // Called on the log's thread, or right here when the log refuses.
  const auto finish = [this, done = std::move(done)](const std::string& error,
                                                     const audit::Committed& place) {
    asio::post(context_, [this, done, error, place] {
      ++committed_;
      if (!error.empty()) fail(error);
      done(error, place);
      std::erase_if(waiting_, [this](auto& waiter) {
        if (waiter.first > committed_) return false;
        waiter.second();
        return true;
      });
    });
  };
  try {
    log_.append(
        std::move(record),
        [finish](std::exception_ptr error, const audit::Committed& place) {
          try {
            if (error) std::rethrow_exception(error);
            finish({}, place);
          } catch (const std::exception& problem) {
            finish(problem.what(), {});
          }
        },
        haste);
  } catch (const audit::LogError& error) {
    finish(error.what(), {});
  }
}

void Journal::fail(const std::string& why) {
  if (has_failed_) return;
  has_failed_ = true;
  spdlog::critical("audit log: {}", why);
  failed_(why);
}

asio::awaitable<audit::Committed> Journal::write(audit::Record record,
                                                 std::function<void()> meanwhile) {
  auto [error, place] = co_await asio::async_initiate<decltype(asio::use_awaitable),
                                                      void(std::string, audit::Committed)>(
      [this, &meanwhile](auto handler, audit::Record to_write) {
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        append(
            std::move(to_write),
            [shared](std::string why, audit::Committed where) {
              (std::move(*shared))(std::move(why), std::move(where));
            },
            audit::Log::Haste::kNow);
        if (meanwhile) meanwhile();
      },
      asio::use_awaitable, std::move(record));
  if (!error.empty()) throw JournalError(error);
  co_return place;
}

void Journal::note(audit::Record record) {
  append(
      std::move(record), [](const std::string&, const audit::Committed&) {},
      audit::Log::Haste::kSoon);
}

asio::awaitable<void> Journal::settled() {
  if (committed_ == appended_) co_return;
  log_.hurry();
  co_await asio::async_initiate<decltype(asio::use_awaitable), void()>(
      [this](auto handler) {
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        waiting_.emplace_back(appended_, [shared] { (std::move(*shared))(); });
      },
      asio::use_awaitable);
}

}  // namespace sharkcage
