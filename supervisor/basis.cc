#include "supervisor/basis.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <map>

#include "supervisor/judge.h"
#include "supervisor/local_look.h"
#include "supervisor/sandbox/kept.h"
#include "supervisor/sandbox/syscalls.h"

namespace sharkcage {
namespace {

constexpr const char* kNone = "-";

Account look_up(uid_t uid) {
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    return {uid, uid, "user"};
  }
  return {uid, found->pw_gid, found->pw_name};
}

bool same_file(const sandbox::JudgedPath& a, const sandbox::JudgedPath& b) {
  return a.source == b.source && a.target == b.target && a.access == b.access &&
         a.directory == b.directory && a.skill == b.skill && a.device == b.device &&
         a.inode == b.inode;
}

std::string identity_of(int file, bool& is_link) {
  struct statx status {};
  constexpr int kFlags = AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
  if (::statx(file, "", kFlags, STATX_TYPE | STATX_INO, &status) != 0) return "?";
  is_link = S_ISLNK(status.stx_mode);
  return std::to_string(status.stx_dev_major) + "," + std::to_string(status.stx_dev_minor) + ":" +
         std::to_string(status.stx_ino) + ":" + std::to_string(status.stx_mode & S_IFMT);
}

// Over links, which a command may have made.
std::string state_behind_links(const LocalLook& look, const std::string& path) {
  const LocalPlace place = look.find(path, true);
  bool is_link = false;
  return place.presence == Presence::kMissing ? kNone
         : place.file                         ? identity_of(place.file.get(), is_link)
                                              : "?";
}

// Itself, and what it leads to where it is a link.
std::string state_of(const LocalLook& look, const std::string& path) {
  const UniqueFd file(sandbox::sys::openat2(AT_FDCWD, path.c_str(), O_PATH | O_NOFOLLOW,
                                            RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
  if (!file && errno == ELOOP) return "over links " + state_behind_links(look, path);
  if (!file) return kNone;
  bool is_link = false;
  const std::string state = identity_of(file.get(), is_link);
  return is_link ? state + " " + state_behind_links(look, path) : state;
}

std::string git_of(const std::string& top) {
  struct stat status {};
  if (::lstat((top + "/.git").c_str(), &status) != 0) return kNone;
  return std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
}

bool same_limits(const Limits& a, const Limits& b) {
  return a.memory == b.memory && a.cpus == b.cpus && a.pids == b.pids &&
         a.open_files == b.open_files && a.file_size == b.file_size && a.output == b.output &&
         a.tmp == b.tmp;
}

bool same_policy(const Policy& a, const Policy& b) {
  return a.skill == b.skill && a.workspace == b.workspace &&
         a.workspace_access == b.workspace_access && a.home == b.home && a.files == b.files &&
         a.skills == b.skills && a.exec == b.exec && a.hosts == b.hosts &&
         a.deny_hosts == b.deny_hosts && a.network_rule == b.network_rule &&
         a.environment == b.environment && a.hidden == b.hidden && same_limits(a.limits, b.limits);
}

}  // namespace

const Account& account_of(uid_t uid) {
  static std::map<uid_t, Account> known;
  const auto [entry, unknown] = known.try_emplace(uid);
  if (unknown) entry->second = look_up(uid);
  return entry->second;
}

bool Basis::allows_as_much(const Basis& other) const {
  return account == other.account && same_policy(policy, other.policy) &&
         covered == other.covered && git == other.git &&
         std::equal(paths.begin(), paths.end(), other.paths.begin(), other.paths.end(), same_file);
}

bool Basis::allows_the_same(const Basis& other) const {
  return allows_as_much(other) && kept == other.kept;
}

void Basis::note_repositories() {
  for (Top& top : tops) top.made = git_of(top.path);
}

bool Basis::still_allows(const Basis& other) const {
  const auto in_new_repository = [&](const Kept& file) {
    return std::any_of(tops.begin(), tops.end(), [&](const Top& top) {
      return top.git == kNone && file.path.starts_with(top.path + "/.git/") &&
             std::any_of(other.tops.begin(), other.tops.end(), [&](const Top& now) {
               return now.path == top.path && now.git == top.made;
             });
    });
  };
  std::vector<Kept> kept_there;
  std::copy_if(other.kept.begin(), other.kept.end(), std::back_inserter(kept_there),
               [&](const Kept& file) { return !in_new_repository(file); });
  return allows_as_much(other) && kept == kept_there;
}

Basis make_basis(const Policy& policy, const Account& account, const std::string& skills_dir,
                 bool privileged) {
  Basis basis;
  basis.policy = policy;
  basis.account = account;
  basis.paths = judge_paths(policy, skills_dir, account.uid, account.gid, privileged);
  const LocalLook look({policy.home, policy.workspace});
  for (const std::string& path : policy.hidden) basis.covered.push_back(state_of(look, path));
  for (const sandbox::JudgedPath& path : basis.paths) {
    if (path.access != Access::kReadWrite || !path.directory) continue;
    for (const std::string& name : sandbox::kept_at_top(path.source)) {
      const std::string file = path.source + "/" + name;
      basis.kept.push_back({file, state_of(look, file)});
    }
    basis.tops.push_back({path.source, git_of(path.source), {}});
  }
  return basis;
}

}  // namespace sharkcage
