// Which programs may connect to what is outside, where the policy names them.
//
// A program is what the kernel executes: of a script its interpreter. Who may start it, with which
// arguments and libraries, is not looked at (docs/threat-model.md).
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "capabilities/policy.h"
#include "supervisor/sandbox/task.h"

namespace sharkcage::sandbox {

class ProgramGate {
 public:
  // In the sandbox's mount namespace, whose root must be this process's from `lets` on.
  explicit ProgramGate(NetworkRule rule) : rule_(std::move(rule)) {}

  bool open() const { return rule_.any; }
  // Whether the task executes the very file that is at the path of a named program now. True of it
  // only if its notification is still valid afterwards.
  bool lets(const Task& task) const;

 private:
  const NetworkRule rule_;
};

}  // namespace sharkcage::sandbox
