// Control groups of a sandbox: memory and number of processes, where this process may make groups
// (root with cgroup v1 or v2; a user whose service manager delegates a v2 group). Elsewhere rlimits
// alone hold.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/config.h"

namespace sharkcage::sandbox {

class ControlGroup {
 public:
  // Makes groups named `name` below this process's own and sets `limits`. A controller that cannot
  // be used is left out; `controllers` tells what was found.
  ControlGroup(const std::string& name, const Limits& limits);
  // Removes the groups; their processes must be gone.
  ~ControlGroup();
  ControlGroup(const ControlGroup&) = delete;
  ControlGroup& operator=(const ControlGroup&) = delete;

  // Moves `pid` in. Throws system_error.
  void add(pid_t pid) const;

  // "memory", "pids".
  const std::vector<std::string>& controllers() const { return controllers_; }

 private:
  std::vector<std::string> paths_;
  std::vector<std::string> controllers_;
};

// Removes groups named `prefix`* that hold no process: what a killed monitor left.
void remove_stale_groups(const std::string& prefix);

}  // namespace sharkcage::sandbox
