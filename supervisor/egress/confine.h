// The egress gives up everything but what a proxy needs, before it reads the first hostile byte.
#pragma once

#include "supervisor/egress/control.h"

namespace sharkcage::egress {

// To be called while the process has one thread. Afterwards, for good:
//   - of its descriptors only `kControlFd` and `kLifelineFd` are left, and /dev/null as stdio;
//   - no privilege can be gained (no_new_privs), no capability is held, and where it was root it is
//   a
//     user and a group that nobody has, in no other group;
//   - of files it can read only what name resolution reads (Landlock, where the kernel has it);
//   - of system calls it has only those of a proxy; an attempt to execute, to trace or to mount
//   kills it;
//   - it cannot be traced, leaves no core dump, and writes no file.
// Throws std::system_error or UserError when a step fails: the process must end then.
Ready confine();

// The steps, for tests of each. In confine.cc and confine_filter.cc.
void close_other_descriptors();
void limit_resources();
void drop_identity();
int restrict_files();
void restrict_system_calls();

}  // namespace sharkcage::egress
