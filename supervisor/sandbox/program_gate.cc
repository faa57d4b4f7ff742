#include "supervisor/sandbox/program_gate.h"

#include <sys/stat.h>

#include <algorithm>

namespace sharkcage::sandbox {

// By device and inode, of a descriptor that is held meanwhile: a copy is another file, and so is
// one that was put in the place of what the task executes. What such a path leads to in the
// sandbox, no command can change (derive.cc).
bool ProgramGate::lets(const Task& task) const {
  if (rule_.any) return true;
  const UniqueFd executed = task.executable();
  struct stat own {};
  if (!executed || ::fstat(executed.get(), &own) != 0) return false;
  return std::any_of(rule_.programs.begin(), rule_.programs.end(), [&](const std::string& path) {
    struct stat named {};
    return ::lstat(path.c_str(), &named) == 0 && named.st_dev == own.st_dev &&
           named.st_ino == own.st_ino;
  });
}

}  // namespace sharkcage::sandbox
