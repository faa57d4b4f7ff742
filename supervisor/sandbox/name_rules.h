// What may become of a name in a workspace: whether it is one that runs code later, or makes its
// directory a repository, which has such names. Looks, and changes nothing.
#pragma once

#include <string>

#include "supervisor/sandbox/deputy_rules.h"
#include "supervisor/sandbox/path_view.h"

namespace sharkcage::sandbox {

class NameRules {
 public:
  explicit NameRules(const DeputyRules& rules) : rules_(rules) {}

  // Of a real path. Configuration and hooks of a directory that is a repository are protected,
  // whatever it is called.
  NameKind kind_of(const std::string& real) const;
  // May be written or made as a file.
  bool is_open(const std::string& real) const;
  // Whether the new name makes its directory one that git takes for a repository whatever it is
  // called, with a configuration and hooks in it (git, setup.c, is_git_directory): HEAD, and
  // objects and refs or commondir. Those that are called like one have rules of their own.
  bool completes_repository(const Spot& spot) const;
  // Whether `source` may become `target`: neither name may be protected, and what git would read
  // as a part of a repository does not come in or out as a whole.
  bool may_move(const Spot& source, const Spot& target) const;

 private:
  bool is_repository(const std::string& directory) const;

  const DeputyRules& rules_;
};

}  // namespace sharkcage::sandbox
