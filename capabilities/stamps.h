// Time stamps of files, and from when on they tell of every change.
#pragma once

#include <cstdint>
#include <ctime>

namespace sharkcage {

constexpr std::int64_t kSecond = 1'000'000'000;

// What changed this recently may change again without a new time stamp: stamps are as coarse as a
// tick of the kernel, and on some file systems as a second or two.
constexpr std::int64_t kSettled = 3 * kSecond;

inline std::int64_t nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * kSecond + time.tv_nsec;
}

// Of the clock that stamps files, in nanoseconds.
inline std::int64_t stamp_now() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return nanoseconds(time);
}

}  // namespace sharkcage
