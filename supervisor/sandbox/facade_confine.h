// What the facade gives up before a command of the sandbox can speak to it.
#pragma once

#include "common/fd.h"

namespace sharkcage::sandbox {

// Enters the sandbox's user and mount namespaces, takes on its user's ids (as inside), keeps the
// one capability that reading a task's system call needs, and allows itself the system calls of its
// service alone. From then on it can reach what a command can reach, and no more. Throws
// system_error.
void confine_facade(UniqueFd user_namespace, UniqueFd mount_namespace, uid_t uid, gid_t gid);

}  // namespace sharkcage::sandbox
