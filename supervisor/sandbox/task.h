// A command's thread that waits in a system call, as the deputy looks at it: its memory, its
// directories, who it is. Everything here is true of this thread only if its notification is still
// valid afterwards (Listener::valid): a number can be given to another process.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>

#include "common/fd.h"

namespace sharkcage::sandbox {

struct TaskStatus {
  pid_t leader = 0;   // the thread group's number, outside
  pid_t pid = 0;      // the same, inside
  pid_t parent = 0;   // outside
  pid_t session = 0;  // inside: that of the command's keeper, unless the process has left it
  mode_t mask = 022;  // umask(2)
};

// A keeper that was seen, so that it need not be looked for again.
struct SeenKeeper {
  pid_t tid = 0;  // outside
  UniqueFd name;  // its /proc/PID/comm, which is no other process's
};

class Task {
 public:
  // `proc`: a descriptor of the /proc in which `tid` is a number.
  Task(int proc, pid_t tid) : proc_(proc), tid_(tid) {}

  // Copies `size` bytes at `address`. 0, EFAULT, or EPERM: PID 1, a keeper, a process that runs a
  // program which it may not read.
  int read(std::uint64_t address, void* to, std::size_t size) const;
  // Copies a path, as the kernel would: 0, EFAULT, EPERM, ENAMETOOLONG, ENOENT for an empty one.
  int read_path(std::uint64_t address, std::string& path) const;

  // An O_PATH descriptor of the directory that a relative path starts from; `dirfd` may be
  // AT_FDCWD. None, with errno, if there is none.
  UniqueFd directory(int dirfd) const;
  // The task's own descriptor, shared with it. None, with errno.
  UniqueFd descriptor(int fd) const;

  // An O_PATH descriptor of the file that its process executes. None, with errno.
  UniqueFd executable() const;

  TaskStatus status() const;
  // Its command, as a Refusal names it: the keeper that it descends from, whatever its `session`.
  // `last`: the keeper that was seen last, for whose session nothing is looked up.
  pid_t command(pid_t session, std::atomic<pid_t>& last) const;
  // The supervisor's number of the command that it comes from, or 0 for a process that has left its
  // keeper. `last`: the keeper that was seen last.
  std::uint64_t command_number(SeenKeeper& last) const;
  std::string program() const;  // the name of its process (comm)
  // The device of its controlling terminal, or 0.
  unsigned terminal() const;

 private:
  std::string path_of(const char* entry) const;
  struct Keeper {
    pid_t tid = 0;  // outside
    pid_t pid = 0;  // inside, or 0: there is none
  };
  bool was_executed_inside() const;
  Keeper keeper() const;
  UniqueFd open(const char* entry) const;
  std::string content_of(const char* entry) const;

  int proc_;
  pid_t tid_;
  mutable bool leads_ = false;  // its thread group, as far as `descriptor` has found out
};

}  // namespace sharkcage::sandbox
