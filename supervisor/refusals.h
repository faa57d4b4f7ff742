// From what a sandbox refused to what the outcome of its call says of it (docs/audit.md).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "capabilities/policy.h"
#include "common/json.h"
#include "supervisor/own_program.h"
#include "supervisor/sandbox/refusals.h"

namespace sharkcage {

// For whom a call is: hidden files are looked for with that person's rights.
struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
  bool privileged = false;  // the supervisor is root, and takes on the person's rights
};

// Where a path of a sandbox is outside.
std::string path_outside(const std::string& path, const Policy& policy);

// Adds "refused" and "refused_more" to an outcome's payload, unless there is nothing to tell. What
// is hidden inside and does not exist outside either was not refused. What does not fit a record is
// counted. `start`: of the call's command.
void add_refusals(Json& payload, std::vector<sandbox::Refusal> refused, std::uint64_t more,
                  const Policy& policy, const Owner& owner, const Start& start = {});

// Adds "refused_unknown", and an entry of "refused" by which `sc audit --blocked` shows the record:
// what is not known may have been anything. Nothing for an empty `why`.
void add_unknown_refusals(Json& payload, const std::string& why);

}  // namespace sharkcage
