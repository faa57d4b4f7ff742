// What git may do in a repository's own files: make a new repository, configure that one with what
// runs no program, and add worktrees.
#pragma once

#include <sys/types.h>

#include <deque>
#include <string>

#include "common/fd.h"
#include "supervisor/sandbox/path_view.h"

namespace sharkcage::sandbox {

class GitRules {
 public:
  explicit GitRules(const PathView& view) : view_(view) {}

  // A directory ".git" was made there by a command of this sandbox.
  void repository_made(int directory, const std::string& name);
  // A file was made there.
  void file_made(const Spot& spot);

  // "config.lock" is made in repositories that were made here alone, and opened, moved and deleted
  // only by who made it: git renames what is at this name, and the person's git may be at it.
  bool may_lock(const Spot& lock) const;
  bool is_own_lock(int file) const;
  bool is_own_lock(const Spot& lock) const;
  // One was deleted: it need not be held any more.
  void lock_deleted();

  // Renames config.lock over config in a repository that was made here: a copy of its content takes
  // the place, since whoever wrote the lock file can still have it open. Empty, or what is wrong
  // with it; `error` is then an errno.
  std::string replace_config(const Spot& lock, const Spot& config, int& error);

  // Whether `real` is a file that "git worktree add" writes, and only with the content that git
  // would give it. Writes it and returns a file to write into for git, which nobody reads.
  UniqueFd make_worktree_file(const Spot& spot, mode_t mode, int& error);

 private:
  // Held: the number of one that is gone would be given to another.
  struct Made {
    dev_t device;
    ino_t inode;
    UniqueFd held;
  };
  static void hold(std::deque<Made>& all, int directory, const std::string& name, std::size_t max);
  static bool holds(const std::deque<Made>& all, int file);
  std::string content_for(const std::string& real) const;

  const PathView& view_;
  std::deque<Made> made_;             // repositories
  std::deque<Made> locks_;            // each config.lock
  std::deque<std::string> pointers_;  // …/.git/worktrees/ID/gitdir
};

}  // namespace sharkcage::sandbox
