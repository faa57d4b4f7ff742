// What this machine has to give.
#pragma once

#include <cstdint>

#include "common/limits.h"

namespace sharkcage {

// Less where the control groups of this process, or of one above, allow less: a container.
struct Machine {
  std::uint64_t memory = 0;  // bytes
  unsigned processors = 1;   // that this process may run on
  std::uint64_t pids = 0;    // processes and threads
};

// Throws system_error.
Machine this_machine();

// Machine::processors alone: one system call.
unsigned usable_processors();

// `limits`, at most what the machine has.
Limits limits_within(Limits limits, const Machine& machine);

}  // namespace sharkcage
