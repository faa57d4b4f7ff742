// Files that run code later, by whoever looks at a workspace with a shell, an editor, git or an
// agent: inside a writable grant a command may read them, and not make, write, move or link them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sharkcage::sandbox {

enum class NameKind {
  kFree,
  kProtected,
  kBareGit,    // a name like "x.git": as a directory it has the rules of ".git", as a file none
  kGit,        // ".git" itself: a new directory of this name is a new repository
  kGitConfig,  // the configuration of a repository: may be replaced in a new one (git_config.h)
  kGitInside,  // anything else of a repository but references, logs and objects: git reads
               // directories here as its own, so none comes in from elsewhere, and no link
};

class ProtectedNames {
 public:
  // `grants`: the writable ones, by their real paths inside.
  explicit ProtectedNames(std::vector<std::string> grants) : grants_(std::move(grants)) {}

  // Of a real path: absolute, without links in it. Case does not matter (ASCII).
  NameKind kind_of(std::string_view path) const;
  // Below a grant.
  bool granted(std::string_view path) const;

 private:
  std::vector<std::string> grants_;
};

// The protected names right below the top of a grant, to be made read-only by mounts when a sandbox
// is made: "{grant}/.git/config". Relative.
std::span<const std::string_view> protected_at_top();

// Whether git knows a repository by a file or directory of this name, whatever the case.
bool is_repository_part(std::string_view name);

}  // namespace sharkcage::sandbox
