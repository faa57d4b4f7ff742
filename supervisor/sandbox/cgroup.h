// Control groups of a sandbox: memory, processes, processors, where this process may make groups
// (root with cgroup v1 or v2; a user whose service manager delegates a v2 group). Elsewhere rlimits
// hold, and what the monitor sums up (tally.h).
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "common/fd.h"
#include "common/limits.h"

namespace sharkcage::sandbox {

// Of a session's sandbox: keepers that have no command for now, at most. They are processes of the
// sandbox, which its limit leaves room for beside those of commands.
constexpr std::uint64_t most_waiting_keepers(const Limits& limits) {
  return std::clamp<std::uint64_t>(limits.pids / 32, 4, 16);
}

class ControlGroup {
 public:
  // Makes groups named `name` below this process's own and sets `limits`; one for processors only
  // if there are more of them than `limits` allow. A controller that cannot be used is left out;
  // `controllers` tells what was found.
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

  // "memory", "pids", "cpu".
  const std::vector<std::string>& controllers() const { return controllers_; }
  bool has(const char* controller) const;

  // How often the kernel refused something since the groups were made: its own counters.
  struct Hits {
    std::uint64_t memory = 0;  // processes that were killed
    std::uint64_t pids = 0;    // attempts to start a process or a thread
    bool operator==(const Hits&) const = default;
  };
  // For a poll loop: appends what becomes ready when `hits` may have changed; then `read_hits`,
  // which also makes it quiet again. Nothing is appended without controllers.
  void add_to(std::vector<pollfd>& events) const;
  Hits read_hits();
  // Whether it is told that processes were refused. v1 counts and tells nobody.
  bool tells_pids() const { return pids_events_ && unified_; }
  // Whether `events` say that memory ran out, which v1 tells before it kills.
  bool memory_alarmed(const std::vector<pollfd>& events) const;

 private:
  struct Group {
    std::string parent;
    std::string path;
    bool unified = false;
  };
  void limit_memory(const Group& group, std::uint64_t bytes);
  void limit_pids(const Group& group, std::uint64_t pids);
  void limit_processors(const Group& group, double cpus);
  void watch_memory(const std::string& path);

  std::vector<Group> groups_;
  UniqueFd unified_;
  std::vector<std::string> controllers_;
  UniqueFd memory_events_;  // counts what the kernel killed
  UniqueFd memory_alarm_;   // v1: an eventfd, since the file above cannot be polled there
  UniqueFd pids_events_;
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
