// What a sandbox refused to our own process, while that was about to execute a command.
#pragma once

#include <string>
#include <vector>

#include "capabilities/policy.h"
#include "supervisor/local_look.h"
#include "supervisor/sandbox/refusals.h"

namespace sharkcage {

// How a command was to be started: what was to be executed, in order, or where it was to begin.
struct Start {
  std::string operation;           // "execute", or "access" of a working directory
  std::vector<std::string> paths;  // inside, absolute; each was looked for once at most
};

// `refused` with the paths of `start` in place of the first missing names on their way, which are
// all that the sandbox sees of them (Refusal::start). A script's way goes on at its interpreter:
// `look` reads which one that is.
std::vector<sandbox::Refusal> with_start(std::vector<sandbox::Refusal> refused, const Start& start,
                                         const Policy& policy, const LocalLook& look);

}  // namespace sharkcage
