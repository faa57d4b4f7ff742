// One thread that waits for its record. Internal to `audit`.
#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "audit/log.h"

namespace sharkcage::audit {

// Where one thread waits for its record. Not a std::promise: that may not be destroyed while
// another thread is still inside set_value, which a waiter that owns it cannot know. Not the
// exception itself either, but its text: so no object is released by two threads.
class Waiter {
 public:
  Log::Done callback() {
    return [this](std::exception_ptr error, const Committed& committed) {
      std::string why;
      try {
        if (error) std::rethrow_exception(error);
      } catch (const std::exception& failure) {
        why = failure.what();
      }
      // Told under the lock: the waiter cannot leave before this thread has let go of it.
      const std::lock_guard lock(mutex_);
      committed_ = committed;
      if (error) why_ = std::move(why);
      told_ = true;
      changed_.notify_one();
    };
  }

  Committed wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return told_; });
    if (why_) throw LogError(*why_);
    return std::move(committed_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool told_ = false;
  std::optional<std::string> why_;
  Committed committed_;
};

}  // namespace sharkcage::audit
