#include "supervisor/sandbox/names.h"

#include <algorithm>
#include <iterator>
#include <unordered_set>

#include "supervisor/sandbox/name_fold.h"

namespace sharkcage::sandbox {
namespace {

// Files and directories that are protected with all that is in them, wherever they are in a grant:
// a program obeys them as soon as it is started there, or somebody goes there. What tells how a
// project is built, tested and checked is not among them (docs/deputy.md).
constexpr std::string_view kNames[] = {
    // Shells, sessions and terminals.
    ".bash_aliases", ".bash_completion", ".bash_login", ".bash_logout", ".bash_profile", ".bashrc",
    ".cshrc", ".inputrc", ".kshrc", ".login", ".logout", ".mkshrc", ".pam_environment", ".profile",
    ".screenrc", ".tcshrc", ".tmux.conf", ".wezterm.lua", ".xinitrc", ".xprofile", ".xserverrc",
    ".xsession", ".xsessionrc", ".zlogin", ".zlogout", ".zprofile", ".zshenv", ".zshrc",
    // What a shell does on entering a directory.
    ".autoenv", ".autoenv.zsh", ".direnv", ".envrc", ".mise", ".mise.local.toml", ".mise.toml",
    "mise.local.toml", "mise.toml",
    // Interpreters and debuggers that read a file of where they are started.
    ".gdbinit", ".ghci", ".irbrc", ".lldbinit", ".ocamlinit", ".octaverc", ".pdbrc", ".perldb",
    ".pryrc", ".rdata", ".renviron", ".rprofile", "jupyter_config.py", "jupyter_lab_config.py",
    "jupyter_notebook_config.py", "jupyter_server_config.py", "jupyterhub_config.py",
    // Editors.
    ".devcontainer", ".devcontainer.json", ".emacs.desktop", ".exrc", ".externaltoolbuilders",
    ".fleet", ".gvimrc", ".helix", ".idea", ".lite_project.lua", ".lvimrc", ".nova", ".nvim.lua",
    ".nvimrc", ".theia", ".vimrc", ".vs", ".vscode", ".zed",
    // Agents.
    ".aider.conf.yml", ".amazonq", ".amp", ".augment", ".claude", ".cline", ".clinerules", ".codex",
    ".continue", ".crush.json", ".cursor", ".factory", ".gemini", ".junie", ".kilocode", ".kiro",
    ".mcp.json", ".opencode", ".openhands", ".qwen", ".roo", ".trae", ".windsurf", "crush.json",
    "opencode.json", "opencode.jsonc",
    // git and its hooks, outside of repositories. What git makes of a lock is the file itself.
    ".gitconfig", ".gitconfig.lock", ".githooks", ".gitmodules", ".gitmodules.lock", ".husky"};

constexpr std::string_view kEndings[] = {".code-workspace"};

constexpr std::string_view kGit[] = {"hooks",     "config",  "config.worktree",
                                     "commondir", "remotes", "branches"};
constexpr std::string_view kMercurial[] = {"hgrc", "hgrc-not-shared", "sharedpath"};
constexpr std::string_view kSapling[] = {"config"};
constexpr std::string_view kPijul[] = {"config"};
constexpr std::string_view kDarcs[] = {"prefs"};
constexpr std::string_view kJujutsu[] = {"config.toml", "repo/config.toml",
                                         "workspace-config.toml"};
constexpr std::string_view kGithub[] = {"hooks"};
constexpr std::string_view kConfiguration[] = {"autostart",  "direnv",  "environment.d", "fish",
                                               "git",        "mise",    "mise.toml",     "nvim",
                                               "powershell", "systemd", "wezterm",       "zsh"};

// Directories of which some entries are protected. They are made where they are to be, so that
// nobody makes the entries before.
struct Holder {
  std::string_view name;
  std::span<const std::string_view> entries;
};
constexpr Holder kHolders[] = {{".hg", kMercurial},        {".sl", kSapling}, {".pijul", kPijul},
                               {"_darcs", kDarcs},         {".jj", kJujutsu}, {".github", kGithub},
                               {".config", kConfiguration}};

constexpr std::string_view kGitDirectories[] = {"hooks", "remotes", "branches"};
constexpr std::string_view kGitFiles[] = {"config", "config.lock", "config.worktree", "commondir"};

bool is_data(std::string_view name) {
  return name == "refs" || name == "logs" || name == "objects";
}

bool one_of(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_named(std::string_view name) {
  static const std::unordered_set<std::string_view> names(std::begin(kNames), std::end(kNames));
  return names.contains(name) ||
         std::any_of(std::begin(kEndings), std::end(kEndings),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

// Of what is below a ".git". Repositories are nested: modules/NAME (of any depth) and worktrees/ID
// are git's own directories, too. Remotes and branches are configuration as well, in its old form.
NameKind kind_in_git(std::span<const std::string> parts) {
  if (is_data(parts[0])) return NameKind::kFree;
  if (parts[0] == "worktrees" && parts.size() > 2 && is_data(parts[2])) return NameKind::kFree;
  for (const std::string& part : parts) {
    if (one_of(kGitDirectories, part)) return NameKind::kProtected;
  }
  const std::string& last = parts.back();
  const bool top = parts.size() == 1;
  if (last == "config") return top ? NameKind::kGitConfig : NameKind::kProtected;
  if (last == "config.lock") return top ? NameKind::kGitLock : NameKind::kProtected;
  // What a config is written under before it is renamed, too: another sandbox could hold it open.
  if (last.starts_with("config.") || last == "commondir") return NameKind::kProtected;
  return NameKind::kGitInside;
}

// A name that git reads in a repository; `last`: not a directory's.
bool is_git_entry(std::string_view name, bool last) {
  // Most names end here.
  constexpr std::string_view kFirst = "bBcChHrR";
  if (name.empty() || (name[0] > 0 && kFirst.find(name[0]) == std::string_view::npos)) return false;
  const std::vector<std::string> parts = folded_components(name);
  return one_of(kGitDirectories, parts[0]) || (last && one_of(kGitFiles, parts[0]));
}

NameKind kind_in_holder(const Holder& holder, std::span<const std::string> parts) {
  std::string path = parts[0];
  if (one_of(holder.entries, path)) return NameKind::kProtected;
  if (parts.size() > 1 && one_of(holder.entries, path + "/" + parts[1])) {
    return NameKind::kProtected;
  }
  // A file of this name leads to another directory.
  if (holder.name == ".jj" && path == "repo" && parts.size() == 1) return NameKind::kGit;
  return NameKind::kGitInside;
}

// Another name of one that is protected, or of a directory with such names.
bool is_alias(std::string_view name) {
  if (name.find('~') == std::string_view::npos) return false;
  const auto is_of = [&](std::string_view protected_name) {
    return is_dos_name_of(name, protected_name);
  };
  return std::any_of(std::begin(kNames), std::end(kNames), is_of) ||
         std::any_of(std::begin(kGit), std::end(kGit), is_of) || is_of(".git") ||
         std::any_of(std::begin(kHolders), std::end(kHolders),
                     [&](const Holder& holder) { return is_of(holder.name); });
}

// What `parts[i]` says of all of them, if it is a repository's or a holder's name.
NameKind kind_by(std::span<const std::string> parts, std::size_t i, bool below_top) {
  const std::string& name = parts[i];
  const std::span<const std::string> below = parts.subspan(i + 1);
  if (name == ".git") return below.empty() ? NameKind::kGit : kind_in_git(below);
  if (!below_top) return NameKind::kFree;
  if (name.ends_with(".git")) return below.empty() ? NameKind::kBareGit : kind_in_git(below);
  for (const Holder& holder : kHolders) {
    if (name != holder.name) continue;
    return below.empty() ? NameKind::kGit : kind_in_holder(holder, below);
  }
  return NameKind::kFree;
}

std::vector<std::string> make_top() {
  std::vector<std::string> all(std::begin(kNames), std::end(kNames));
  const auto add = [&](std::string_view holder) {
    for (const std::string_view entry : protected_entries_of(holder)) {
      all.push_back(std::string(holder) + "/" + std::string(entry));
    }
  };
  add(".git");
  for (const Holder& holder : kHolders) add(holder.name);
  return all;
}

}  // namespace

bool ProtectedNames::granted(std::string_view path) const {
  return std::any_of(grants_.begin(), grants_.end(), [&](const std::string& grant) {
    return path.starts_with(grant) && path.size() > grant.size() && path[grant.size()] == '/';
  });
}

// The strictest of what any of its names says: what lies in a repository's data can be moved out.
NameKind ProtectedNames::kind_of(std::string_view path) const {
  if (!granted(path)) return NameKind::kFree;
  std::size_t top = 0;
  for (const std::string& grant : grants_) {
    if (path.starts_with(grant) && path.size() > grant.size() && path[grant.size()] == '/') {
      top = std::max(top, folded_components(grant).size());
    }
  }
  const std::vector<std::string> parts = folded_components(path);
  NameKind kind = NameKind::kFree;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    // A grant may lie in a repository, but one that is called "x.git" need not be one.
    if (i >= top && is_named(parts[i])) return NameKind::kProtected;
    if (i >= top && is_alias(parts[i])) return NameKind::kProtected;
    kind = std::max(kind, kind_by(parts, i, i >= top));
  }
  return kind;
}

bool is_repository_part(std::string_view name) {
  const std::vector<std::string> parts = folded_components(name);
  constexpr std::string_view kParts[] = {"head", "objects", "refs", "commondir"};
  return parts.size() == 1 && one_of(kParts, parts[0]);
}

std::vector<std::string_view> possible_repositories(std::string_view path) {
  std::vector<std::string_view> found;
  bool last = true;
  for (std::size_t end = path.size(); end > 0; last = false) {
    const std::size_t slash = path.rfind('/', end - 1);
    if (slash == std::string_view::npos || slash == 0) break;
    if (is_git_entry(path.substr(slash + 1, end - slash - 1), last)) {
      found.push_back(path.substr(0, slash));
    }
    end = slash;
  }
  return found;
}

std::span<const std::string> protected_at_top() {
  static const std::vector<std::string> top = make_top();
  return top;
}

bool is_protected_name(std::string_view name) {
  const std::vector<std::string> parts = folded_components(name);
  return parts.size() == 1 && is_named(parts[0]);
}

std::span<const std::string_view> protected_entries_of(std::string_view name) {
  const std::vector<std::string> parts = folded_components(name);
  if (parts.size() != 1) return {};
  if (parts[0] == ".git") return kGit;
  for (const Holder& holder : kHolders) {
    if (parts[0] == holder.name) return holder.entries;
  }
  return {};
}

}  // namespace sharkcage::sandbox
