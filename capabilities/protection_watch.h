// Remembers where the protected paths are. While nothing has changed on the way to them, asking
// again costs a question to the kernel, or, where that cannot tell, a look at their directories.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "capabilities/protected.h"
#include "capabilities/way_watch.h"
#include "common/fd.h"

namespace sharkcage {

// One thread.
class ProtectionWatch {
 public:
  // What `protected_paths(input)` would return now. Valid until the next call.
  const std::vector<ProtectedPath>& paths(const ProtectionInput& input);

  // Another number for another list.
  std::uint64_t version() const { return version_; }
  // How often the whole list was made, and how often its directories were looked at, for tests.
  std::uint64_t made() const { return made_; }
  std::uint64_t looked() const { return looked_; }

 private:
  // A directory that has not gained, lost or replaced an entry since: the same inode with the same
  // change time. Absent ones are remembered as such.
  struct Directory {
    std::string path;
    bool exists = false;
    bool folder = false;
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t changed = 0;  // nanoseconds
    bool operator==(const Directory&) const = default;
  };
  // An entry that is looked at by itself: a directory on the way to it changes too often.
  struct Single {
    std::string path;
    std::string real;
    bool exists = false;
  };

  static std::optional<Directory> look_at(const std::string& path, UniqueFd* held = nullptr);
  static std::optional<Directory> look_at_settled(const std::string& path, std::int64_t started);
  static bool is_missing_below(const std::set<std::string>& watched, std::string path);
  bool holds();
  bool looks_the_same();
  std::optional<Ways> ways() const;
  bool remember(std::int64_t started);
  bool watch_way_to(const ProtectedPath& entry, std::int64_t started,
                    std::set<std::string>& watched);

  ProtectionInput input_;
  std::vector<ProtectedPath> list_;
  std::vector<Directory> directories_;
  std::vector<Single> singles_;
  bool usable_ = false;
  std::optional<Ways> ways_;  // nothing: there is no end to one of them
  WayWatch watch_;
  bool watched_ = false;  // the ways, since before the last look
  std::uint64_t version_ = 0;
  std::uint64_t made_ = 0;
  std::uint64_t looked_ = 0;
};

}  // namespace sharkcage
