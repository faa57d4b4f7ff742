#include "supervisor/journal.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <asio/async_result.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>

#include "common/errors.h"

namespace sharkcage {

// One wake-up for all that is told before the loop looks. Not by asio::post, which wakes the loop
// while it holds the lock that the loop then needs.
void Journal::Told::add(Record record) {
  {
    const std::lock_guard lock(mutex);
    records.push_back(std::move(record));
    if (records.size() > 1) return;
  }
  const std::uint64_t one = 1;
  while (::write(wake.get(), &one, sizeof one) < 0 && errno == EINTR) continue;
}

Journal::Journal(asio::io_context& context, audit::Log& log,
                 std::function<void(std::string)> failed)
    : log_(log), failed_(std::move(failed)), told_(std::make_shared<Told>()), wake_(context) {
  told_->wake.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const int own = told_->wake ? ::fcntl(told_->wake.get(), F_DUPFD_CLOEXEC, 0) : -1;
  if (own < 0) throw_errno("eventfd");
  wake_.assign(own);
  wait_for_told();
}

void Journal::wait_for_told() {
  wake_.async_wait(asio::posix::stream_descriptor::wait_read, [this](std::error_code error) {
    if (error) return;
    take_told();
    wait_for_told();
  });
}

void Journal::take_told() {
  std::uint64_t count = 0;
  if (::read(wake_.native_handle(), &count, sizeof count) < 0) return;
  std::vector<Told::Record> records;
  {
    const std::lock_guard lock(told_->mutex);
    records.swap(told_->records);
  }
  for (Told::Record& record : records) {
    ++committed_;
    if (!record.error.empty()) fail(record.error);
    record.done(std::move(record.error), std::move(record.place));
    std::erase_if(waiting_, [this](auto& waiter) {
      if (waiter.first > committed_) return false;
      waiter.second();
      return true;
    });
  }
}

void Journal::append(audit::Record record, std::function<void(std::string, audit::Committed)> done,
                     audit::Log::Haste haste) {
  ++appended_;
  // Called on the log's thread, or right here when the log refuses.
  const auto finish = [told = told_, done = std::move(done)](std::string error,
                                                             audit::Committed place) {
    told->add({done, std::move(error), std::move(place)});
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
