#include "supervisor/basis.h"

#include <pwd.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "supervisor/judge.h"
#include "supervisor/sandbox/names.h"

namespace sharkcage {
namespace {

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

std::string identity_of(int result, const struct stat& status) {
  if (result != 0) return "-";
  return std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino) + ":" +
         std::to_string(status.st_mode & S_IFMT);
}

// Itself, and what it leads to where it is a link.
std::string state_of(const std::string& path) {
  struct stat status {};
  std::string state = identity_of(::lstat(path.c_str(), &status), status);
  if (state != "-" && S_ISLNK(status.st_mode)) {
    state += " " + identity_of(::stat(path.c_str(), &status), status);
  }
  return state;
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
         a.deny_hosts == b.deny_hosts && a.environment == b.environment && a.hidden == b.hidden &&
         same_limits(a.limits, b.limits);
}

}  // namespace

const Account& account_of(uid_t uid) {
  static std::map<uid_t, Account> known;
  const auto [entry, unknown] = known.try_emplace(uid);
  if (unknown) entry->second = look_up(uid);
  return entry->second;
}

bool Basis::allows_the_same(const Basis& other) const {
  return account == other.account && same_policy(policy, other.policy) &&
         covered == other.covered &&
         std::equal(paths.begin(), paths.end(), other.paths.begin(), other.paths.end(), same_file);
}

Basis make_basis(const Policy& policy, const Account& account, const std::string& skills_dir,
                 bool privileged) {
  Basis basis{policy, account, {}, {}};
  basis.paths = judge_paths(policy, skills_dir, account.uid, account.gid, privileged);
  for (const std::string& path : policy.hidden) basis.covered.push_back(state_of(path));
  for (const sandbox::JudgedPath& path : basis.paths) {
    if (path.access != Access::kReadWrite || !path.directory) continue;
    for (const std::string_view name : sandbox::protected_at_top()) {
      basis.covered.push_back(state_of(path.source + "/" + std::string(name)));
    }
  }
  return basis;
}

}  // namespace sharkcage
