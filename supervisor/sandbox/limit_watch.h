// The limits of a sandbox as a whole: made when it is, watched while it lives, and asked when a
// command returns.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/limits.h"
#include "supervisor/sandbox/cgroup.h"
#include "supervisor/sandbox/refusals.h"
#include "supervisor/sandbox/tally.h"

namespace sharkcage::sandbox {

// Reasons to end a sandbox, and names of limits in records.
inline constexpr const char* kMemory = "memory";
inline constexpr const char* kPids = "pids";

class LimitWatch {
 public:
  using Clock = std::chrono::steady_clock;

  // Makes control groups named `group`.
  LimitWatch(const std::string& group, const Limits& limits);

  ControlGroup& group() { return group_; }
  std::size_t waiting_keepers() const { return most_waiting_keepers(limits_); }
  // What holds: the group's controllers, and for what it has none "memory: sampled",
  // "pids: rlimit", "cpu: affinity". No word on processors if there are not more than allowed.
  std::vector<std::string> holders() const;
  // Whether the sandbox is kept on some of the processors, which a command must not change.
  bool fixes_processors() const { return !processors_.empty(); }

  // PID 1 has been cloned. `facade` holds files for it.
  void begin(pid_t init, pid_t facade);
  // A file system of the sandbox's that is held in memory.
  void add_file_system(UniqueFd place);
  // For what is seen to have been killed.
  bool ran_out_of_memory();

  // For the monitor's loop. `busy`: something runs in the sandbox.
  void add_to(std::vector<pollfd>& events) const { group_.add_to(events); }
  int milliseconds_left(bool busy) const;
  // After each poll: why the sandbox must end, if it must.
  std::optional<std::string> look(const std::vector<pollfd>& events);

  // What a command's time in the sandbox is held against: `mark` when it starts, `since` when it
  // has returned.
  struct Mark {
    ControlGroup::Hits hits;
  };
  Mark mark() const { return {hits_}; }
  std::vector<Refusal> since(const Mark& mark);
  // Before that: how many processes a command has left, ours included. It can be over before
  // anybody has looked.
  void note_processes(std::uint64_t left);

 private:
  struct Growth {  // of a counter, when it was noticed
    ControlGroup::Hits hits;
    std::int64_t time_us = 0;
  };
  // The sandbox has as many processes as it may have, and wants more.
  struct Crush {
    Clock::time_point began;
    Use use;
  };
  void count(const ControlGroup::Hits& hits);
  std::optional<std::string> sample();
  bool wants_more(const Use& use) const;
  bool is_fork_bomb(const Use& use);

  const Limits limits_;
  ControlGroup group_;
  std::vector<unsigned> processors_;
  std::optional<Tally> tally_;
  Clock::time_point next_sample_ = Clock::time_point::max();
  ControlGroup::Hits sampled_;  // what the samples found
  ControlGroup::Hits hits_;     // all that is known
  std::vector<Growth> history_;
  std::optional<Crush> crush_;
  std::uint64_t refused_ = 0;  // hits_.pids at the sample before
};

}  // namespace sharkcage::sandbox
