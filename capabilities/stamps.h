// Time stamps of files, and from when on they tell of every change.
#pragma once

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cstdint>
#include <ctime>

namespace sharkcage {

constexpr std::int64_t kSecond = 1'000'000'000;

// What changed this recently may change again without a new time stamp: stamps are as coarse as a
// tick of the kernel, and on some file systems as a second or two.
constexpr std::int64_t kSettled = 3 * kSecond;

// On a file system of this machine of which the following is known: what changes in it is changed
// by this kernel, which stamps it as finely as its ticks. (The large family of ext2 has one number;
// one that keeps whole seconds shows by its stamps.)
inline bool is_local(int fd) {
  constexpr long kXfs = 0x58465342;  // linux/magic.h does not have it
  struct statfs system {};
  return ::fstatfs(fd, &system) == 0 &&
         (system.f_type == EXT4_SUPER_MAGIC || system.f_type == BTRFS_SUPER_MAGIC ||
          system.f_type == TMPFS_MAGIC || system.f_type == kXfs);
}

// With or without the key of an encrypted directory (fscrypt), other names are found in it, and
// neither a stamp nor an event tells that the key came or went.
inline bool is_encrypted(int fd) {
  struct statx status {};
  return ::statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &status) != 0 ||
         (status.stx_attributes & STATX_ATTR_ENCRYPTED) != 0;
}

// How long until a stamp is settled: a tick of the kernel is 10 ms at most. `fd` is what was
// stamped.
inline std::int64_t settled_after(int fd, std::int64_t stamp) {
  constexpr std::int64_t kTicks = kSecond / 20;
  return stamp % kSecond != 0 && is_local(fd) ? kTicks : kSettled;
}

inline std::int64_t nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * kSecond + time.tv_nsec;
}

// Of the clock that stamps files, in nanoseconds: no file is stamped with less from now on. (The
// finer one is ahead of it by a tick, and by more while a virtual machine's processor stands
// still.)
inline std::int64_t stamp_now() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &time);
  return nanoseconds(time);
}

}  // namespace sharkcage
