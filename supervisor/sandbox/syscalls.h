// System calls without a wrapper in glibc 2.36, and flags newer than Debian 12's headers.
//
// Everything here is async-signal-safe: PID 1 of a sandbox uses it between clone and execve.
#pragma once

#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdint>

namespace sharkcage::sandbox::sys {

inline int openat2(int dirfd, const char* path, std::uint64_t flags, std::uint64_t resolve) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = resolve;
  return static_cast<int>(::syscall(SYS_openat2, dirfd, path, &how, sizeof how));
}

inline pid_t clone3(clone_args& args) {
  return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
}

inline int pivot_root(const char* new_root, const char* put_old) {
  return static_cast<int>(::syscall(SYS_pivot_root, new_root, put_old));
}

// Returns the listener of the filter (Linux 5.0); once the deputy has received a notification, only
// a fatal signal ends its wait (5.19).
inline int seccomp_set_filter(const void* program) {
  return static_cast<int>(::syscall(
      SYS_seccomp, SECCOMP_SET_MODE_FILTER,
      SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, program));
}

// linux/seccomp.h of Linux 6.6.
inline constexpr unsigned long kNotifSetFlags = _IOW('!', 4, std::uint64_t);
inline constexpr unsigned long kNotifSyncWakeUp = 1;

// linux/pidfd.h of Linux 6.9.
inline constexpr unsigned kPidfdThread = O_EXCL;

// linux/landlock.h as of ABI 6 (Linux 6.12); Debian 12's header ends at ABI 2.
struct LandlockRuleset {
  std::uint64_t handled_access_fs;
  std::uint64_t handled_access_net;
  std::uint64_t scoped;
};
inline constexpr std::uint64_t kLandlockTruncate = 1ull << 14;          // ABI 3
inline constexpr std::uint64_t kLandlockIoctlDev = 1ull << 15;          // ABI 5
inline constexpr std::uint64_t kLandlockScopeAbstractUnix = 1ull << 0;  // ABI 6
inline constexpr std::uint64_t kLandlockScopeSignal = 1ull << 1;        // ABI 6

inline int landlock_create_ruleset(const LandlockRuleset* attr, std::size_t size, unsigned flags) {
  return static_cast<int>(::syscall(SYS_landlock_create_ruleset, attr, size, flags));
}

inline int landlock_add_path(int ruleset, std::uint64_t access, int parent_fd) {
  landlock_path_beneath_attr attr{};
  attr.allowed_access = access;
  attr.parent_fd = parent_fd;
  return static_cast<int>(
      ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attr, 0));
}

inline int landlock_restrict_self(int ruleset) {
  return static_cast<int>(::syscall(SYS_landlock_restrict_self, ruleset, 0));
}

}  // namespace sharkcage::sandbox::sys
