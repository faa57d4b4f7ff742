// Who asked for something that is not there, and what for: read from the task while it is blocked
// in its system call, waiting for the facade's answer.
//
// What a task's memory says is evidence and decides nothing. A task that keeps us from looking
// (prctl(2), PR_SET_DUMPABLE) is recorded with what the kernel's request alone says.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "common/fd.h"
#include "supervisor/sandbox/path_calls.h"

namespace sharkcage::sandbox {

struct Evidence {
  std::int64_t time_us = 0;  // since 1970
  pid_t pid = 0;             // of the process, inside
  pid_t command = 0;         // see Refusal
  std::string program;       // its name (comm)
  bool seen = false;         // its system call was: what follows is known
  PathCall call;
  std::string path, to;  // absolute inside, not followed; empty: there is none, or not readable
  bool ours = false;     // a process of our own that is about to execute a command
};

class Witness {
 public:
  // `proc`: the sandbox's /proc.
  explicit Witness(UniqueFd proc);
  int proc() const { return proc_.get(); }

  // May wait for a page of the task's memory, which the facade itself may have to bring: never
  // called by the only thread that could.
  Evidence look_at(pid_t pid) const;

 private:
  struct Call {
    long number = -1;
    std::uint64_t arguments[6] = {};
  };
  std::optional<Call> call_of(pid_t pid) const;
  std::string text_at(pid_t pid, std::uint64_t address) const;
  std::string path_argument(pid_t pid, const Call& call, int dirfd, int path) const;
  void name_task(pid_t pid, Evidence& evidence) const;
  std::string read_proc(pid_t pid, const char* file) const;
  std::string link_in_proc(pid_t pid, const std::string& link) const;

  const UniqueFd proc_;
  mutable std::atomic<pid_t> keeper_ = 0;  // the last one that was seen
  std::string our_name_;  // of PID 1, and of what it forks, until a command is executed
};

}  // namespace sharkcage::sandbox
