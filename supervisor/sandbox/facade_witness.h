// Who asked for something that is not there, and what for: read from the task while it is blocked
// in its system call, waiting for the facade's answer.
//
// What a task's memory says is evidence and decides nothing. A task that keeps us from looking
// (prctl(2), PR_SET_DUMPABLE) is recorded with what the kernel's request alone says.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "supervisor/sandbox/facade_tree.h"
#include "supervisor/sandbox/refusals.h"

namespace sharkcage::sandbox {

class Witness {
 public:
  // `scoped`: the policy names programs; what is missing in a directory of programs was then wanted
  // for execution.
  Witness(const Tree& tree, bool scoped) : tree_(tree), scoped_(scoped) {}

  // The sandbox's /proc. Without it nothing can be told, and nothing is.
  void look_through(UniqueFd proc);

  // `name` is not in `directory`. Nothing when that refuses nothing: a name that is about to be
  // made in the home, a process of our own.
  std::optional<Refusal> missed(const Node& directory, std::string_view name, pid_t pid) const;
  // Permission for `mask` was denied.
  std::optional<Refusal> denied(const Node& mask, pid_t pid) const;

 private:
  struct Call {
    long number = -1;
    std::uint64_t arguments[6] = {};
  };
  struct Task {
    pid_t pid = 0;  // of its process
    pid_t session = 0;
    std::string name;
  };
  std::optional<Call> call_of(pid_t pid) const;
  std::string text_at(pid_t pid, std::uint64_t address) const;
  std::string path_argument(pid_t pid, const Call& call, int dirfd, int path) const;
  std::string through(const std::string& argument, const std::string& missing) const;
  Task task(pid_t pid) const;
  static Refusal of(const Task& task);
  std::string read_proc(pid_t pid, const char* file) const;
  std::string link_in_proc(pid_t pid, const std::string& link) const;
  bool is_program(const std::string& path) const;

  const Tree& tree_;
  const bool scoped_;
  UniqueFd proc_;
  std::string our_name_;  // of PID 1, and of what it forks, until a command is executed
};

}  // namespace sharkcage::sandbox
