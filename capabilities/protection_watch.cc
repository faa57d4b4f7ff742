#include "capabilities/protection_watch.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "capabilities/stamps.h"
#include "common/fd.h"

namespace sharkcage {
namespace {

namespace fs = std::filesystem;

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
std::optional<ProtectionWatch::Directory> ProtectionWatch::look_at(const std::string& path,
                                                                   UniqueFd* held) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR) return Directory{path, false, false, 0, 0, 0};
    return std::nullopt;
  }
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return std::nullopt;
  if (held != nullptr) *held = std::move(fd);
  return Directory{path,          true,          S_ISDIR(status.st_mode),
                   status.st_dev, status.st_ino, nanoseconds(status.st_ctim)};
}

// Nothing also when it changed after the list was begun, or so shortly before that it may have
// changed again with the same stamp, or when its stamp does not tell of every change.
std::optional<ProtectionWatch::Directory> ProtectionWatch::look_at_settled(const std::string& path,
                                                                           std::int64_t started) {
  UniqueFd fd;
  auto directory = look_at(path, &fd);
  if (!directory || !directory->exists) return directory;
  if (is_encrypted(fd.get())) return std::nullopt;
  const std::int64_t settled = directory->changed + settled_after(fd.get(), directory->changed);
  return settled < started ? directory : std::nullopt;
}

const std::vector<ProtectedPath>& ProtectionWatch::paths(const ProtectionInput& input) {
  if (usable_ && same(input, input_) && holds()) return list_;
  watched_ = false;
  const std::int64_t started = stamp_now();
  usable_ = false;
  auto list = protected_paths(input);
  ++made_;
  if (list != list_) {
    list_ = std::move(list);
    ++version_;
  }
  input_ = input;
  usable_ = remember(started);
  if (usable_) ways_ = ways();
  return list_;
}

// The watch is begun before the look, so that nothing between the two is missed; and what is
// watched are the ways as they are under the watch.
bool ProtectionWatch::holds() {
  if (watched_ && watch_.quiet()) return true;
  watched_ = ways_ && watch_.watch(*ways_) && ways() == ways_;
  return looks_the_same();
}

bool ProtectionWatch::looks_the_same() {
  ++looked_;
  return std::all_of(directories_.begin(), directories_.end(),
                     [](const Directory& known) { return look_at(known.path) == known; }) &&
         std::all_of(singles_.begin(), singles_.end(), [](const Single& known) {
           const ProtectedPlace place = locate_protected(known.path);
           return place.exists == known.exists && place.real == known.real;
         });
}

// That it is missing follows from what is missing above it, in a directory that is watched.
bool ProtectionWatch::is_missing_below(const std::set<std::string>& watched, std::string path) {
  while (path != "/") {
    path = parent_of(path);
    const auto above = look_at(path);
    if (!above) return false;
    if (watched.contains(path)) return true;
    if (above->exists) return false;
  }
  return false;
}

// Notes what has to be the same for the list to hold; false when it cannot be told. `started` is
// when the making of the list began.
bool ProtectionWatch::remember(std::int64_t started) {
  directories_.clear();
  singles_.clear();
  const auto keep = [&](std::optional<Directory> directory) {
    if (!directory) return false;
    directories_.push_back(std::move(*directory));
    return true;
  };
  std::map<std::string, std::size_t> entries_in;
  for (const ProtectedPath& entry : list_) ++entries_in[parent_of(entry.path)];
  std::set<std::string> groups;
  for (const auto& [parent, count] : entries_in) {
    // A directory that is reached over links is none: its entries are looked at one by one.
    if (count < kGroup || !look_at(parent)) continue;
    if (!keep(look_at_settled(parent, started))) return false;
    groups.insert(parent);
  }
  for (const ProtectedPath& entry : list_) {
    const bool grouped = entry.real == entry.path && groups.contains(parent_of(entry.path));
    const bool link = entry.real != entry.path;
    const bool implied = !entry.exists && !link && is_missing_below(groups, entry.path);
    if (!grouped && !implied && !(link && watch_way_to(entry, started, groups))) {
      singles_.push_back({entry.path, entry.real, entry.exists});
    }
    if (!entry.exists || !entry.links_listed) continue;
    // Which links are in it is part of the list. A file holds none as long as it is that file.
    const auto inside = look_at(entry.real);
    if (inside && grouped && !inside->folder) continue;
    if (!inside || !keep(look_at_settled(entry.real, started))) return false;
  }
  return true;
}

// What has to be quiet for the list to hold: the way to each entry, and the directories of which
// every entry counts.
std::optional<Ways> ProtectionWatch::ways() const {
  Ways ways;
  WayFinder finder;
  for (const ProtectedPath& entry : list_) {
    if (!finder.follow(entry.path, ways)) return std::nullopt;
    if (!entry.exists || !entry.links_listed) continue;
    if (!finder.follow(entry.real, ways)) return std::nullopt;
    std::error_code error;
    if (fs::is_directory(entry.real, error)) ways[entry.real].whole = true;
  }
  return ways;
}

// A link is watched by the directories on its way, of which many are shared. False when one of them
// is not to be relied on: it changes all the time, or cannot be looked at.
bool ProtectionWatch::watch_way_to(const ProtectedPath& entry, std::int64_t started,
                                   std::set<std::string>& watched) {
  Ways way;
  if (!WayFinder().follow(entry.path, way)) return false;
  std::vector<Directory> found;
  for (const auto& [path, interest] : way) {
    if (watched.contains(path)) continue;
    auto directory = look_at_settled(path, started);
    if (!directory || !directory->exists) return false;
    found.push_back(std::move(*directory));
  }
  for (Directory& directory : found) {
    watched.insert(directory.path);
    directories_.push_back(std::move(directory));
  }
  return true;
}

}  // namespace sharkcage
