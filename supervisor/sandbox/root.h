// The recipe of a sandbox's root file system and of everything else that a plan holds.
#pragma once

#include "supervisor/sandbox/plan.h"
#include "supervisor/sandbox/prepared.h"
#include "supervisor/sandbox/spec.h"

namespace sharkcage::sandbox {

// The ids that commands have inside: the person's, but never 0.
uid_t inside_uid(const Identity& identity);
gid_t inside_gid(const Identity& identity);

// The steps of the root for `spec`. `executable` gets the paths that may be executed when the
// policy names programs. Throws UserError for a path that no sandbox can show.
void plan_root(const Spec& spec, const Prepared& prepared, Plan& plan,
               std::vector<std::string>& executable);

}  // namespace sharkcage::sandbox
