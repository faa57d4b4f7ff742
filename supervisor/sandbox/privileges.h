// What a command may not have: ids of others, capabilities, a way to gain them. Async-signal-safe.
#pragma once

#include <initializer_list>

#include "supervisor/sandbox/plan.h"

namespace sharkcage::sandbox {

// Takes on the plan's ids in a fresh user namespace and gives up every supplementary group. Keeps
// the capabilities in that namespace, which building the sandbox needs. 0, or -1 with errno.
int become_sandbox_user(const Plan& plan);

// Gives up every capability in every set, for this process and all that it starts, and the ways to
// gain one: set-user-ID programs (no_new_privs), uid 0 (securebits). 0, or -1 with errno.
int drop_privileges();

// The same, but keeps some capabilities (CAP_SYS_PTRACE, …) for this process alone.
int drop_privileges_but(std::initializer_list<unsigned> kept);

}  // namespace sharkcage::sandbox
