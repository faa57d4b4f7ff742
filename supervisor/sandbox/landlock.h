// Landlock (Linux 5.13 and later): the policy's paths once more, as rules that hold even where a
// mount should be wrong. The mounts are the first layer; without Landlock a sandbox works too.
#pragma once

#include "supervisor/sandbox/plan.h"

namespace sharkcage::sandbox {

// The ABI of this kernel (1 …), or 0 where Landlock is absent or disabled.
int landlock_abi();

// What the rules may grant, by kind of path; the right ones for `abi` are chosen.
struct LandlockRights {
  explicit LandlockRights(int abi);
  std::uint64_t handled;
  std::uint64_t scoped;
  std::size_t attr_size;
  std::uint64_t read;     // read files and directories
  std::uint64_t execute;  // execute files
  std::uint64_t write;    // all that writing needs, in directories and files
  std::uint64_t device;   // write to devices and control them
};

// The subset of `access` that means something for a file that is no directory.
std::uint64_t landlock_file_rights(std::uint64_t access);

// Enforces the plan's rules on this process and all that it starts. Async-signal-safe. Returns
// null, or the path that failed, with errno.
const char* enforce_landlock(const Plan& plan);

}  // namespace sharkcage::sandbox
