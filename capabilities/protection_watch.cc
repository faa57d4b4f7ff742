#include "capabilities/protection_watch.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <map>
#include <set>
#include <tuple>

#include "capabilities/stamps.h"
#include "common/fd.h"

namespace sharkcage {
namespace {

// From so many entries on, a look at the directory is cheaper than one at each of them.
constexpr std::size_t kGroup = 3;

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool same(const ProtectionInput& a, const ProtectionInput& b) {
  const auto places = [](const Places& p) {
    return std::tie(p.install, p.config_dir, p.state_dir, p.run_dir);
  };
  return a.home == b.home && a.root == b.root && places(a.places) == places(b.places) &&
         a.configured == b.configured && a.host_states == b.host_states;
}

}  // namespace

// Nothing when the directory is reached over links or cannot be looked at.
std::optional<ProtectionWatch::Directory> ProtectionWatch::look_at(const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const UniqueFd fd(
      static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR) return Directory{path, false, false, 0, 0, 0};
    return std::nullopt;
  }
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return std::nullopt;
  return Directory{path,          true,          S_ISDIR(status.st_mode),
                   status.st_dev, status.st_ino, nanoseconds(status.st_ctim)};
}

const std::vector<ProtectedPath>& ProtectionWatch::paths(const ProtectionInput& input) {
  if (usable_ && same(input, input_) && holds()) return list_;
  const std::int64_t started = stamp_now();
  usable_ = false;
  list_ = protected_paths(input);
  input_ = input;
  ++made_;
  usable_ = remember(started);
  return list_;
}

bool ProtectionWatch::holds() const {
  return std::all_of(directories_.begin(), directories_.end(),
                     [](const Directory& known) { return look_at(known.path) == known; }) &&
         std::all_of(singles_.begin(), singles_.end(), [](const Single& known) {
           const ProtectedPlace place = locate_protected(known.path);
           return place.exists == known.exists && place.real == known.real;
         });
}

// Notes what has to be the same for the list to hold; false when it cannot be told. `started` is
// when the making of the list began: a directory that changed after that, or shortly before it,
// tells nothing.
bool ProtectionWatch::remember(std::int64_t started) {
  directories_.clear();
  singles_.clear();
  const auto keep = [&](std::optional<Directory> directory) {
    if (!directory || (directory->exists && directory->changed + kSettled >= started)) return false;
    directories_.push_back(std::move(*directory));
    return true;
  };
  std::map<std::string, std::size_t> entries_in;
  for (const ProtectedPath& entry : list_) ++entries_in[parent_of(entry.path)];
  std::set<std::string> groups;
  for (const auto& [parent, count] : entries_in) {
    // A directory that is reached over links is none: its entries are looked at one by one.
    const auto directory = count >= kGroup ? look_at(parent) : std::nullopt;
    if (!directory) continue;
    if (!keep(directory)) return false;
    groups.insert(parent);
  }
  for (const ProtectedPath& entry : list_) {
    // A link's own directory does not tell where the link leads by now.
    const bool grouped = entry.real == entry.path && groups.contains(parent_of(entry.path));
    if (!grouped) singles_.push_back({entry.path, entry.real, entry.exists});
    if (!entry.exists || !entry.links_listed) continue;
    // Which links are in it is part of the list. A file holds none as long as it is that file.
    const auto inside = look_at(entry.real);
    if (inside && grouped && !inside->folder) continue;
    if (!keep(inside)) return false;
  }
  return true;
}

}  // namespace sharkcage
