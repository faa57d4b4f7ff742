#include "supervisor/sandbox/name_rules.h"

#include <fcntl.h>
#include <strings.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>

namespace sharkcage::sandbox {
namespace {

// S_IFREG and so on; nothing where there is nothing.
std::optional<mode_t> kind_at(int directory, const std::string& name) {
  struct stat status {};
  if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return status.st_mode & S_IFMT;
}

// What cannot be told counts as there.
bool exists(int directory, const std::string& name) {
  struct stat status {};
  return ::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 ||
         (errno != ENOENT && errno != ENOTDIR);
}

}  // namespace

NameKind NameRules::kind_of(const std::string& real) const {
  if (!rules_.judge_names) return NameKind::kFree;
  const NameKind kind = rules_.names.kind_of(real);
  if (kind > NameKind::kGitInside || !rules_.names.granted(real)) return kind;
  const std::vector<std::string_view> directories = possible_repositories(real);
  const bool inside = std::any_of(directories.begin(), directories.end(), [&](auto directory) {
    return is_repository(std::string(directory));
  });
  return inside ? NameKind::kProtected : kind;
}

bool NameRules::is_open(const std::string& real) const {
  return kind_of(real) <= NameKind::kBareGit;
}

bool NameRules::is_repository(const std::string& directory) const {
  const auto has = [&](const char* name) { return exists(AT_FDCWD, directory + "/" + name); };
  return has("HEAD") && (has("commondir") || (has("objects") && has("refs")));
}

bool NameRules::completes_repository(const Spot& spot) const {
  if (!rules_.judge_names || !rules_.names.granted(spot.real)) return false;
  if (!is_repository_part(spot.last)) return false;
  const std::string directory = spot.real.substr(0, spot.real.rfind('/'));
  if (rules_.names.kind_of(directory + "/config") > NameKind::kBareGit) return false;
  const auto has = [&](const char* name) {
    return ::strcasecmp(spot.last.c_str(), name) == 0 || exists(spot.directory.get(), name);
  };
  return has("HEAD") && (has("commondir") || (has("objects") && has("refs")));
}

bool NameRules::may_move(const Spot& source, const Spot& target) const {
  if (!rules_.judge_names) return true;
  const NameKind leaves = kind_of(source.real);
  const NameKind becomes = kind_of(target.real);
  const std::optional<mode_t> moved = kind_at(source.directory.get(), source.last);
  const bool plain = moved == S_IFREG;
  const auto fixed = [plain](NameKind kind) {
    return kind > NameKind::kBareGit || (kind == NameKind::kBareGit && !plain);
  };
  if (fixed(leaves) || fixed(becomes)) return false;
  // To git a socket is as good as a directory "refs".
  if (moved && completes_repository(target)) return false;
  // Nor does a directory come out, in which anything could be made as long as it was inside.
  const bool crosses = becomes == NameKind::kGitInside || leaves == NameKind::kGitInside;
  return !(crosses && (moved == S_IFDIR || moved == S_IFLNK));
}

}  // namespace sharkcage::sandbox
