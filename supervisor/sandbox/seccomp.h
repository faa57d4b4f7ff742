// The system call filter of a sandbox (seccomp(2)), compiled by libseccomp.
#pragma once

#include <linux/filter.h>

#include <vector>

namespace sharkcage::sandbox {

// An allowlist: what it does not know is ENOSYS, as on an older kernel, so that programs fall back;
// what it knows and refuses is EPERM. The same for every call but for one rule: without `exec_any`
// there are no memfds. Throws std::runtime_error, system_error.
std::vector<sock_filter> build_filter(bool exec_any);

}  // namespace sharkcage::sandbox
