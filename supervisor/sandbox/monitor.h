// The monitor: the parent of one sandbox, outside of its namespaces. It alone speaks to PID 1,
// keeps the time limit, and tells the supervisor what happened.
#pragma once

#include <string>

#include "common/fd.h"
#include "supervisor/sandbox/prepared.h"

namespace sharkcage::sandbox {

struct MonitorFds {
  UniqueFd spec;      // a memfd with the encoded Spec
  UniqueFd control;   // the supervisor
  UniqueFd lifeline;  // end of file when the launcher is dead
};

// The whole life of a monitor, in a process of its own. All signals must be blocked. `group` names
// the control groups.
[[noreturn]] void run_monitor(MonitorFds fds, const Prepared& prepared, const std::string& group);

}  // namespace sharkcage::sandbox
