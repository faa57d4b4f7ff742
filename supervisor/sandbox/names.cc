#include "supervisor/sandbox/names.h"

#include <algorithm>
#include <iterator>

namespace sharkcage::sandbox {
namespace {

// Files and directories that are protected with all that is in them, wherever they are in a grant.
constexpr std::string_view kNames[] = {
    // Shells.
    ".bash_login", ".bash_logout", ".bash_profile", ".bashrc", ".cshrc", ".kshrc", ".login",
    ".logout", ".profile", ".tcshrc", ".zlogin", ".zlogout", ".zprofile", ".zshenv", ".zshrc",
    ".envrc",
    // Editors.
    ".idea", ".vscode",
    // Agents.
    ".claude", ".codex", ".mcp.json",
    // git, outside of repositories.
    ".gitconfig", ".gitmodules"};

constexpr std::string_view kAtTop[] = {".bash_login",   ".bash_logout",
                                       ".bash_profile", ".bashrc",
                                       ".cshrc",        ".kshrc",
                                       ".login",        ".logout",
                                       ".profile",      ".tcshrc",
                                       ".zlogin",       ".zlogout",
                                       ".zprofile",     ".zshenv",
                                       ".zshrc",        ".envrc",
                                       ".idea",         ".vscode",
                                       ".claude",       ".codex",
                                       ".mcp.json",     ".gitconfig",
                                       ".gitmodules",   ".git/hooks",
                                       ".git/config",   ".git/config.worktree",
                                       ".git/commondir"};

char folded(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::vector<std::string> components(std::string_view path) {
  std::vector<std::string> parts;
  for (std::size_t start = 0; start < path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    if (end > start) {
      parts.emplace_back(path.substr(start, end - start));
      std::transform(parts.back().begin(), parts.back().end(), parts.back().begin(), folded);
    }
    start = end + 1;
  }
  return parts;
}

bool is_data(const std::string& name) {
  return name == "refs" || name == "logs" || name == "objects";
}

// Of what is below a ".git". Repositories are nested: modules/NAME (of any depth) and worktrees/ID
// are git's own directories, too.
NameKind kind_in_git(std::span<const std::string> parts) {
  if (is_data(parts[0])) return NameKind::kFree;
  if (parts[0] == "worktrees" && parts.size() > 2 && is_data(parts[2])) return NameKind::kFree;
  if (std::find(parts.begin(), parts.end(), "hooks") != parts.end()) return NameKind::kProtected;
  const std::string& last = parts.back();
  if (last == "config") return parts.size() == 1 ? NameKind::kGitConfig : NameKind::kProtected;
  // What a config is written under before it is renamed, too: another sandbox could hold it open.
  if (last.starts_with("config.") && last != "config.lock") return NameKind::kProtected;
  if (last == "commondir") return NameKind::kProtected;
  return NameKind::kGitInside;
}

}  // namespace

bool ProtectedNames::granted(std::string_view path) const {
  return std::any_of(grants_.begin(), grants_.end(), [&](const std::string& grant) {
    return path.starts_with(grant) && path.size() > grant.size() && path[grant.size()] == '/';
  });
}

NameKind ProtectedNames::kind_of(std::string_view path) const {
  if (!granted(path)) return NameKind::kFree;
  std::size_t top = 0;
  for (const std::string& grant : grants_) {
    if (path.starts_with(grant) && path.size() > grant.size() && path[grant.size()] == '/') {
      top = std::max(top, components(grant).size());
    }
  }
  const std::vector<std::string> parts = components(path);
  for (std::size_t i = top; i < parts.size(); ++i) {
    if (std::find(std::begin(kNames), std::end(kNames), parts[i]) != std::end(kNames)) {
      return NameKind::kProtected;
    }
  }
  // A grant may lie in a repository, but one that is called "x.git" need not be one.
  auto git = std::find(parts.begin(), parts.end(), ".git");
  if (git == parts.end()) {
    git = std::find_if(parts.begin() + static_cast<std::ptrdiff_t>(std::min(top, parts.size())),
                       parts.end(), [](const std::string& part) { return part.ends_with(".git"); });
  }
  if (git == parts.end()) return NameKind::kFree;
  const std::span<const std::string> below(git + 1, parts.end());
  if (!below.empty()) return kind_in_git(below);
  return *git == ".git" ? NameKind::kGit : NameKind::kBareGit;
}

bool is_repository_part(std::string_view name) {
  const std::vector<std::string> parts = components(name);
  constexpr std::string_view kParts[] = {"head", "objects", "refs", "commondir"};
  return parts.size() == 1 &&
         std::find(std::begin(kParts), std::end(kParts), parts[0]) != std::end(kParts);
}

std::span<const std::string_view> protected_at_top() {
  return kAtTop;
}

}  // namespace sharkcage::sandbox
