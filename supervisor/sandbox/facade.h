// The facade: an attendant that is the sandbox's file system where nothing of the host is shown,
// the skeleton of its root and its private home, by the kernel's FUSE protocol (linux/fuse.h). So
// it sees every look-up of a name that is not there, and records it.
//
//   monitor:  Attendant::start("facade", …, [&](int channel) { run_facade(plan, …, channel); })
//   PID 1:    connects it, builds the root with it, seals it (facade_link.h, mounts.cc)
//
// What is granted lies over it as bind mounts and never comes by. When the facade ends, every
// access to what it served fails.
#pragma once

#include "common/fd.h"
#include "supervisor/sandbox/plan.h"
#include "supervisor/sandbox/refusals.h"

namespace sharkcage::sandbox {

// Serves until the channel ends, and ends the process then. `link` is the facade's end of the pair
// to PID 1. Throws system_error, UserError for what can only be an attack or a defect.
void run_facade(const Plan& plan, RefusalCounter& counter, UniqueFd link, int channel);

}  // namespace sharkcage::sandbox
