// A system call filter for a process of ours beside a sandbox: a list of what it needs, and EPERM.
// Who takes such a process over has no more of the kernel in front of him than that.
#pragma once

#include <span>

namespace sharkcage::sandbox {

// For good. With no_new_privs set, and for the one thread that there is. `threads`: it may start
// threads, each with descriptors of its own, and nothing else. Throws system_error.
void allow_only(std::span<const int> calls, bool threads);

}  // namespace sharkcage::sandbox
