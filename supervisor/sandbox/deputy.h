// The deputy: answers the system calls that wait for a decision (seccomp.cc says which).
//
// It shares the sandbox's user and mount namespaces, so that what it carries out for a command is
// what the command could do itself, and is not in its pid namespace, so that no command sees or
// signals it. A decision on a command's memory is made on a copy, and carried out on that copy.
#pragma once

#include <sys/types.h>

#include "common/fd.h"
#include "supervisor/sandbox/attendant.h"
#include "supervisor/sandbox/plan.h"
#include "supervisor/sandbox/refusals.h"
#include "supervisor/sandbox/spec.h"

namespace sharkcage::sandbox {

struct NamespaceFds {
  UniqueFd user;
  UniqueFd mount;
};

// Of PID 1, before it is told to begin: once it is not dumpable, an ordinary user cannot open them.
// Throws system_error.
NamespaceFds open_namespaces(pid_t init);

// Starts it, when PID 1 has built the root and passed on its filter's listener, of which no copy
// may stay open: without the deputy, every waiting call is to fail. `link`: to the egress
// (capabilities/caught.h), or none without a network. `names_lock`: names_lock.h.
// Throws system_error.
Attendant start_deputy(const Spec& spec, const Plan& plan, NamespaceFds namespaces,
                       UniqueFd listener, UniqueFd link, int names_lock, RefusalCounter& counter);

}  // namespace sharkcage::sandbox
