#include "capabilities/protected.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>

#include "capabilities/scope.h"
#include "capabilities/ways.h"
#include "common/errors.h"
#include "common/fd.h"
#include "common/text.h"

namespace sharkcage {
namespace {

namespace fs = std::filesystem;

// Below the home: credentials, key rings, browsers, histories, and what a login runs.
constexpr std::string_view kHomeSecrets[] = {".ssh",
                                             ".aws",
                                             ".gnupg",
                                             ".gnome2/keyrings",
                                             ".azure",
                                             ".kube",
                                             ".docker",
                                             ".oci",
                                             ".fly",
                                             ".netrc",
                                             ".git-credentials",
                                             ".npmrc",
                                             ".yarnrc.yml",
                                             ".pypirc",
                                             ".password-store",
                                             ".pki",
                                             ".putty",
                                             ".pgpass",
                                             ".my.cnf",
                                             ".s3cfg",
                                             ".boto",
                                             ".vault-token",
                                             ".terraform.d",
                                             ".terraformrc",
                                             ".cargo/credentials",
                                             ".cargo/credentials.toml",
                                             ".gem/credentials",
                                             ".m2/settings.xml",
                                             ".gradle/gradle.properties",
                                             ".config/gcloud",
                                             ".config/gh",
                                             ".config/glab-cli",
                                             ".config/hub",
                                             ".config/op",
                                             ".config/rclone",
                                             ".config/doctl",
                                             ".config/git/credentials",
                                             ".config/containers/auth.json",
                                             ".config/google-chrome",
                                             ".config/chromium",
                                             ".config/BraveSoftware",
                                             ".config/microsoft-edge",
                                             ".config/Signal",
                                             ".config/sops",
                                             ".config/age",
                                             ".config/sharkcage",
                                             ".local/state/sharkcage",
                                             ".local/share/keyrings",
                                             ".local/share/kwalletd",
                                             ".local/share/signal-cli",
                                             ".mozilla",
                                             ".thunderbird",
                                             ".bitcoin",
                                             ".ethereum",
                                             ".electrum",
                                             ".claude",
                                             ".claude.json",
                                             ".codex",
                                             ".bash_history",
                                             ".zsh_history",
                                             ".python_history",
                                             ".node_repl_history",
                                             ".psql_history",
                                             ".mysql_history",
                                             ".sqlite_history",
                                             ".bashrc",
                                             ".bash_profile",
                                             ".bash_login",
                                             ".bash_logout",
                                             ".bash_aliases",
                                             ".profile",
                                             ".zshrc",
                                             ".zshenv",
                                             ".zprofile",
                                             ".zlogin",
                                             ".zlogout",
                                             ".cshrc",
                                             ".tcshrc",
                                             ".login",
                                             ".kshrc",
                                             ".inputrc",
                                             ".config/fish",
                                             ".config/environment.d",
                                             ".pam_environment",
                                             ".xprofile",
                                             ".xinitrc",
                                             ".xsession",
                                             ".xsessionrc",
                                             ".Xauthority",
                                             ".ICEauthority"};

// Below the home: what is run later, so that writing it is running code outside a sandbox.
constexpr std::string_view kHomeCode[] = {".config/systemd",
                                          ".config/autostart",
                                          ".local/share/systemd",
                                          ".local/share/applications",
                                          ".local/bin",
                                          ".local/lib/sharkcage",
                                          "bin",
                                          ".gitconfig",
                                          ".config/git",
                                          ".vimrc",
                                          ".vim",
                                          ".config/nvim",
                                          ".emacs",
                                          ".emacs.d",
                                          ".config/emacs",
                                          ".config/Code",
                                          ".vscode"};

constexpr std::string_view kSystemSecrets[] = {"/etc/shadow",
                                               "/etc/shadow-",
                                               "/etc/gshadow",
                                               "/etc/gshadow-",
                                               "/etc/sudoers",
                                               "/etc/sudoers.d",
                                               "/etc/ssh",
                                               "/etc/ssl/private",
                                               "/etc/krb5.keytab",
                                               "/etc/wireguard",
                                               "/etc/NetworkManager/system-connections",
                                               "/etc/sharkcage",
                                               "/var/lib/sharkcage",
                                               "/var/backups",
                                               "/var/lib/docker",
                                               "/var/lib/containerd",
                                               "/var/spool/cron",
                                               "/proc",
                                               "/sys",
                                               "/dev",
                                               "/boot",
                                               "/run",
                                               "/var/run",
                                               "/var/run/docker.sock"};

constexpr std::string_view kSystemCode[] = {"/usr",   "/bin",   "/sbin",   "/lib",
                                            "/lib32", "/lib64", "/libx32", "/etc"};

struct CloseDir {
  void operator()(DIR* stream) const { ::closedir(stream); }
};

// Links directly in a protected directory: their targets are what the directory holds. Those that
// stay inside are listed too: they may lead over links, of which each may be another tomorrow.
void add_links_in(const ProtectedPath& directory, std::vector<ProtectedPath>& list) {
  const std::unique_ptr<DIR, CloseDir> stream(::opendir(directory.real.c_str()));
  if (!stream) return;  // a file, or not readable for us and so not for a sandbox
  while (const dirent* entry = ::readdir(stream.get())) {
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) continue;
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string path = directory.real + "/" + name;
    std::error_code error;
    if (!fs::is_symlink(path, error)) continue;
    const ProtectedPlace location = locate_protected(path);
    list.push_back({path, location.real, location.exists, {}, false, false, false, false});
  }
}

void add(std::vector<ProtectedPath>& list, const std::string& path, bool write_only, bool system,
         std::vector<std::string> open_children = {}) {
  if (!is_normal_path(path)) return;
  ProtectedPlace location = locate_protected(path);
  list.push_back({path, std::move(location.real), location.exists, std::move(open_children),
                  write_only, system, false, false});
}

void add_home(std::vector<ProtectedPath>& list, const std::string& home) {
  add(list, home, false, false);
  list.back().above_only = true;
  for (const std::string_view name : kHomeSecrets) {
    add(list, home + "/" + std::string(name), false, false);
    list.back().links_listed = true;
    const ProtectedPath entry = list.back();
    if (entry.exists) add_links_in(entry, list);
  }
  for (const std::string_view name : kHomeCode)
    add(list, home + "/" + std::string(name), true, false);
}

void add_places(std::vector<ProtectedPath>& list, const Places& places) {
  if (places.state_dir.empty()) return;
  if (places.install == Places::Install::kHome) {
    add(list, fs::path(places.state_dir).parent_path().string(), false, false);
  }
  for (const std::string& path : {places.config_dir, places.state_dir, places.run_dir}) {
    add(list, path, false, false);
  }
}

void add_host_states(std::vector<ProtectedPath>& list, const ProtectionInput& input) {
  std::vector<std::string> states = input.host_states;
  if (states.empty()) states.push_back(input.home + "/.openclaw");
  for (const std::string& state : states) {
    // What a host shows in its sandboxes: workspaces, the sandboxes' own ones, skills and its
    // copies of them.
    add(list, state, false, false,
        {"workspace*", "sandboxes", "skills", "sandbox/skills-workspaces"});
  }
}

bool is_open_child(const std::string& path, const std::string& directory,
                   const std::vector<std::string>& open_children) {
  if (path.size() <= directory.size()) return false;
  const std::string rest = path.substr(directory.size() + 1);
  const std::string child = rest.substr(0, rest.find('/'));
  return std::any_of(open_children.begin(), open_children.end(), [&](const std::string& pattern) {
    if (!pattern.ends_with('*')) return is_within(rest, pattern);
    return child.starts_with(std::string_view(pattern).substr(0, pattern.size() - 1));
  });
}

// `path` is the entry or lies in it.
bool lies_in(const std::string& path, const ProtectedPath& entry) {
  if (entry.above_only) return false;
  for (const std::string* place : {&entry.path, &entry.real}) {
    if (is_within(path, *place) && !is_open_child(path, *place, entry.open_children)) return true;
  }
  return false;
}

// The entry lies in `path`.
bool lies_below(const ProtectedPath& entry, const std::string& path) {
  return is_within(entry.path, path) || is_within(entry.real, path);
}

}  // namespace

bool is_within(const std::string& path, const std::string& directory) {
  if (directory == "/") return true;
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

ProtectedPlace locate_protected(const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const UniqueFd fd(
      static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
  if (fd) return {path, true};
  if (errno == ENOENT || errno == ENOTDIR) return {path, false};
  if (errno == EACCES) return {path, true};  // ours or not: it is something
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  if (!error) return {real.string(), true};
  if (error == std::errc::permission_denied) return {path, true};
  // A link to nothing, yet: what appears there is protected.
  Ways ways;
  return {WayFinder().follow(path, ways).value_or(path), false};
}

std::vector<ProtectedPath> protected_paths(const ProtectionInput& input) {
  std::vector<ProtectedPath> list;
  add_home(list, input.home);
  add_host_states(list, input);
  add_places(list, input.places);
  for (const std::string& path : input.configured) {
    std::string normal = fs::path(path).lexically_normal().string();
    if (normal.size() > 1 && normal.back() == '/') normal.pop_back();
    add(list, normal, false, false);
  }
  for (const std::string_view path : kSystemSecrets) add(list, std::string(path), false, true);
  for (const std::string_view path : kSystemCode) add(list, std::string(path), true, true);
  if (!input.root && !is_within(input.home, "/root")) add(list, "/root", false, true);
  std::sort(list.begin(), list.end(),
            [](const ProtectedPath& a, const ProtectedPath& b) { return a.path < b.path; });
  return list;
}

const ProtectedPath* conflict_of(const std::string& path, Access access,
                                 const std::vector<ProtectedPath>& list) {
  const ProtectedPath* home = nullptr;
  for (const ProtectedPath& entry : list) {
    if (entry.write_only && access == Access::kReadOnly) continue;
    if (!lies_in(path, entry) && !lies_below(entry, path)) continue;
    if (!entry.above_only) return &entry;
    home = &entry;  // to name what is in it says more
  }
  return home;
}

void check_workspace(const std::string& workspace, Access access, const std::string& home,
                     const std::vector<ProtectedPath>& list) {
  static const std::string remedy = "Use a directory of its own as the workspace.";
  const std::string what = "The workspace " + printable(workspace);
  if (!is_normal_path(workspace)) throw UserError(what + " is not an absolute path", remedy);
  const auto holds_home = [&](const ProtectedPath& entry) {
    return entry.above_only && lies_below(entry, workspace);
  };
  if (workspace == "/" || is_within(home, workspace) ||
      std::any_of(list.begin(), list.end(), holds_home)) {
    throw UserError(what + " is the home directory " + printable(home) + " or above it", remedy);
  }
  for (const ProtectedPath& entry : list) {
    if (entry.write_only && access == Access::kReadOnly) continue;
    if (lies_in(workspace, entry)) {
      throw UserError(what + " lies in the protected path " + printable(entry.path), remedy);
    }
    if (entry.system && lies_below(entry, workspace)) {
      throw UserError(what + " holds the protected path " + printable(entry.path), remedy);
    }
  }
}

}  // namespace sharkcage
