// The system call filter of a sandbox (seccomp(2)), compiled by libseccomp.
#pragma once

#include <linux/filter.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace sharkcage::sandbox {

// An allowlist: what it does not know is ENOSYS, as on an older kernel, so that programs fall back.
// What it refuses and a record shall tell of, and what the deputy decides, waits for the deputy
// (SECCOMP_RET_USER_NOTIF). Without `exec_any` programs are named by the policy: no memfds. Throws
// std::runtime_error, system_error.
std::vector<sock_filter> build_filter(bool exec_any);

// The same, and a command keeps the processors that it was given (sched_setaffinity(2) is
// refused).
std::vector<sock_filter> with_fixed_processors(const std::vector<sock_filter>& filter);

// The deputy's answer to a call that waits for it and that nobody carries out: an errno, EPERM for
// most.
int error_of_refused(int call, const std::array<std::uint64_t, 6>& args);

// "openat" for its number.
std::string call_name(int call);

}  // namespace sharkcage::sandbox
