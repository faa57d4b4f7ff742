// What the processes of a sandbox use together, added up by the monitor where no control group
// does. Approximate: it is looked at every now and then, and what no process maps and no file
// system of the sandbox holds (buffers of pipes and sockets) is not seen.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include "common/fd.h"

namespace sharkcage::sandbox {

struct Use {
  std::vector<pid_t> processes;  // as they are numbered outside
  std::uint64_t memory = 0;      // bytes: private pages, shared memory, files in memory
  std::uint64_t threads = 0;
  std::chrono::milliseconds user{0};    // processor time of the processes that live
  std::chrono::milliseconds system{0};  // the same, in the kernel
};

class Tally {
 public:
  // `init`: PID 1 of the sandbox, from outside; `facade`: the process that holds files for it.
  Tally(pid_t init, pid_t facade) : init_(init), facade_(facade) {}
  // Any directory of a file system in memory.
  void add_file_system(UniqueFd place) { file_systems_.push_back(std::move(place)); }

  // All processes but PID 1. The memory is an upper bound, quick to get, while that is not above
  // `limit`; else it is what they use, with shared pages counted once.
  Use take(std::uint64_t limit) const;

  // When to look again: a program fills memory at some speed at most.
  static std::chrono::milliseconds pause(std::uint64_t used, std::uint64_t limit);

 private:
  std::uint64_t in_files(const std::vector<pid_t>& processes) const;

  const pid_t init_;
  const pid_t facade_;
  std::vector<UniqueFd> file_systems_;
};

}  // namespace sharkcage::sandbox
