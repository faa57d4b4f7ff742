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
  // A file was made at this real path.
  void file_made(const std::string& real);

  // Renames config.lock over config in a repository that was made here: a copy of its content takes
  // the place, since whoever wrote the lock file can still have it open. Empty, or what is wrong
  // with it; `error` is then an errno.
  std::string replace_config(const Spot& lock, const Spot& config, int& error);

  // Whether `real` is a file that "git worktree add" writes, and only with the content that git
  // would give it. Writes it and returns a file to write into for git, which nobody reads.
  UniqueFd make_worktree_file(const Spot& spot, mode_t mode, int& error);

 private:
  std::string content_for(const std::string& real) const;

  const PathView& view_;
  // Repositories, held: the number of one that is gone would be given to another.
  struct Made {
    dev_t device;
    ino_t inode;
    UniqueFd held;
  };
  std::deque<Made> made_;
  std::deque<std::string> pointers_;  // …/.git/worktrees/ID/gitdir
};

}  // namespace sharkcage::sandbox
