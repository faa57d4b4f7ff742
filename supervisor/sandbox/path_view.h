// Paths of a command, looked up by the deputy in the sandbox that both are in.
//
// The deputy is in no pid namespace of the sandbox, so that /proc/self and its kind lead nowhere
// for it: they are written as /proc/PID first. All descriptors are O_PATH.
#pragma once

#include <sys/types.h>

#include <string>

#include "common/fd.h"
#include "supervisor/sandbox/names_lock.h"
#include "supervisor/sandbox/task.h"

namespace sharkcage::sandbox {

// A path as a command gave it, with the directory that it starts from.
struct GivenPath {
  std::string text;
  UniqueFd base;  // of a relative path
  int error = 0;  // EFAULT, ENAMETOOLONG, ENOENT, EBADF, ENOTDIR

  int at() const;
};

// What a path leads to: the file, or where it would be made.
struct Found {
  UniqueFd file;
  UniqueFd directory;  // set if there is no file, but a directory where it would be
  std::string last;    // its name there
  int error = 0;       // why there is neither, or ENOENT with a directory
};

// The directory that a path's last component is in. As long as it lives, no other deputy changes a
// name in that file system, if sandboxes share it.
struct Spot {
  UniqueFd directory;
  std::string last;  // with the slashes that it ended in
  std::string real;  // the real path of both; empty for "." and "..", which are never made or moved
  int error = 0;     // EAGAIN: another deputy is at it, to be tried again
  NamesLock::Turn turn;
};

class PathView {
 public:
  // `self`: /proc/self/fd of this process.
  PathView(int self, NamesLock& lock) : self_(self), lock_(lock) {}

  // Copies the path at `address`, which starts from `dirfd`.
  GivenPath given(const Task& task, int dirfd, std::uint64_t address) const;

  // Follows a link in the last place unless `follow` is false.
  Found find(const Task& task, const GivenPath& path, bool follow) const;
  Spot spot(const GivenPath& path) const;
  // The same in two steps, where a turn must not wait for another path to be looked up, which may
  // take as long as a command likes: the directory alone, without `real` and a turn; then these.
  Spot open(const GivenPath& path) const;
  void enter(Spot& spot) const;
  // The same without a turn, where nothing is decided by the name.
  Spot look(const GivenPath& path) const;
  Spot spot(UniqueFd directory, std::string last) const;

  // The path of an open file from the root; "pipe:[1]" and its kind for one that has none. Empty if
  // the kernel cannot tell.
  std::string real_path(int fd) const;
  // Opens the very file behind `fd`; -1 with errno.
  UniqueFd reopen(int fd, int flags, mode_t mode) const;
  // `path`, with what is the task's own in /proc named by its number.
  std::string without_self(const Task& task, const std::string& path) const;
  // A name for the file behind `fd`, relative to `self`, for calls that follow it.
  int self() const { return self_; }

  // As the command meant it: absolute, without "." and "..", links as they are.
  std::string meant(const GivenPath& path) const;

 private:
  void name(Spot& spot) const;

  int self_;
  NamesLock& lock_;
};

}  // namespace sharkcage::sandbox
