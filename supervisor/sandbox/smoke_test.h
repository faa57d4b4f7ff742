// Can this host sandbox? Asked by a real sandbox, at the supervisor's start and by `sc doctor`.
#pragma once

#include <string>
#include <vector>

#include "supervisor/sandbox/launcher_client.h"

namespace sharkcage::sandbox {

// One facility of the kernel as this host offers it.
struct Facility {
  std::string name;  // "sandbox", "user namespace", "landlock" …
  bool ok = false;
  bool required = true;  // calls are refused without it
  std::string detail;    // what was found, e.g. "ABI 7", or the reason why it does not work
  std::string remedy;    // one sentence, empty when it works
};

// Makes a sandbox that shows `directory` (read-write, on the file system that workspaces are on)
// and runs a check in it. `identity` is the one that calls get. Waits at most 10 seconds. Throws
// system_error only when the launcher is gone.
std::vector<Facility> smoke_test(Launcher& launcher, const Identity& identity,
                                 const std::string& directory);

// Every required facility works.
bool can_sandbox(const std::vector<Facility>& facilities);

}  // namespace sharkcage::sandbox
