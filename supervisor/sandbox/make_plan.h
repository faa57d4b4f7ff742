// From what the supervisor wants to what PID 1 does.
#pragma once

#include "supervisor/sandbox/plan.h"
#include "supervisor/sandbox/prepared.h"
#include "supervisor/sandbox/spec.h"

namespace sharkcage::sandbox {

// The plan refers to strings of `spec` and `prepared`, which must outlive it. Throws UserError.
Plan make_plan(const Spec& spec, const Prepared& prepared);

}  // namespace sharkcage::sandbox
