// Files that run code later, by whoever looks at a workspace with a shell, an editor, git or an
// agent: inside a writable grant a command may read them, and not make, write, move or link them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sharkcage::sandbox {

// From the weakest to the strictest.
enum class NameKind {
  kFree,
  kGitInside,  // anything of a repository but references, logs and objects: git reads directories
               // here as its own, so none comes in from elsewhere nor leaves, and no link
  kBareGit,    // a name like "x.git": as a directory it has the rules of ".git", as a file none
  kGitLock,    // "config.lock": what git makes of it is the configuration (git_rules.h)
  kGitConfig,  // the configuration of a repository: may be replaced in a new one (git_config.h)
  kGit,        // ".git" itself and its like: a new directory is a new repository; nothing is moved
               // to or from it
  kProtected,
};

class ProtectedNames {
 public:
  // `grants`: the writable ones, by their real paths inside.
  explicit ProtectedNames(std::vector<std::string> grants) : grants_(std::move(grants)) {}

  // Of a real path: absolute, without links in it. Compared as a file system that folds case does
  // it (Unicode; invisible characters, dots and spaces at the end do not matter)
  NameKind kind_of(std::string_view path) const;
  // Below a grant.
  bool granted(std::string_view path) const;

 private:
  std::vector<std::string> grants_;
};

// The protected names at the top of a grant, relative: ".bashrc", ".git/config".
std::span<const std::string> protected_at_top();
// Whether a file or directory of this name is protected wherever it is.
bool is_protected_name(std::string_view name);
// Of a directory of this name, which entries are: "config" of ".git".
std::span<const std::string_view> protected_entries_of(std::string_view name);

// Whether git knows a repository by a file or directory of this name, whatever the case.
bool is_repository_part(std::string_view name);

// The directories above `path` in which it would be configuration or hooks, if they were
// repositories whatever they are called: "/w/x" of "/w/x/config" and of "/w/x/hooks/y".
std::vector<std::string_view> possible_repositories(std::string_view path);

}  // namespace sharkcage::sandbox
