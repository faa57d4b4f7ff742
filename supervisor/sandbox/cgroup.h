// Control groups of a sandbox: memory and number of processes, where this process may make groups
// (root with cgroup v1 or v2; a user whose service manager delegates a v2 group). Elsewhere rlimits
// alone hold.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/config.h"
#include "common/fd.h"

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

  // Moves this process, which has one thread, in, so that its next child is born there, and out
  // again. (cgroup v1. Moving another process takes a lock of the whole system, 10 ms of waiting;
  // moving oneself does not, since Linux 5.5.) Throws system_error.
  void enter() const;
  void leave() const;

  // The group of a v2 hierarchy for CLONE_INTO_CGROUP, or -1.
  int fd() const { return unified_.get(); }

  // "memory", "pids".
  const std::vector<std::string>& controllers() const { return controllers_; }

 private:
  struct Group {
    std::string parent;
    std::string path;
    bool unified = false;
  };
  void limit(const Group& group, const std::string& controller, const Limits& limits);

  std::vector<Group> groups_;
  UniqueFd unified_;
  std::vector<std::string> controllers_;
};

// Makes this process's own v2 group able to have groups with limits below it. The kernel refuses
// that to one that holds processes (cgroups(7), "no internal processes"), so the supervisor and its
// launcher move into a group of their own below it: only where they are alone, as in a unit of
// systemd. Does nothing elsewhere.
void make_room_for_groups();

// The name of a monitor's groups.
std::string group_name(pid_t launcher, pid_t monitor);

// Removes what killed monitors left, those of an earlier launcher and of other instances too.
void remove_stale_groups();

}  // namespace sharkcage::sandbox
