// PID 1 of a sandbox: builds it from the inside, starts commands, reaps everything.
#pragma once

#include "supervisor/sandbox/plan.h"

namespace sharkcage::sandbox {

// The whole life of PID 1. `channel` is the end of a SOCK_SEQPACKET pair whose other end only the
// monitor has. All signals must be blocked. Async-signal-safe.
[[noreturn]] void run_init(Plan& plan, int channel);

}  // namespace sharkcage::sandbox
