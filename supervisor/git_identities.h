// The name and address that a person's git has, for commits in sandboxes: these two settings of the
// person's own files and nothing else of them. One thread.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <array>
#include <map>
#include <string>
#include <string_view>

#include "common/config.h"
#include "supervisor/basis.h"

namespace sharkcage {

class GitIdentities {
 public:
  // `privileged`: files are read with the person's rights.
  GitIdentities(GitIdentitySource source, bool privileged)
      : source_(std::move(source)), privileged_(privileged) {}

  // Read again when one of the files has changed. What cannot be read says nothing.
  const GitIdentity& of(const Account& account, const std::string& home);

 private:
  static constexpr std::size_t kFiles = 2;
  struct Known {
    std::array<std::string, kFiles> state;  // of each file, when it was read
    GitIdentity identity;
  };

  const GitIdentitySource source_;
  const bool privileged_;
  std::map<std::pair<uid_t, std::string>, Known> known_;
};

// What `text`, a configuration of git's, says last, in `identity`. Other sections are skipped,
// whatever is in them; files that it includes are not read.
void read_git_identity(std::string_view text, GitIdentity& identity);

}  // namespace sharkcage
