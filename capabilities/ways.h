// Over which directories and links paths lead (path_resolution(7)).
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <system_error>

namespace sharkcage {

// What is of interest in a directory: everything, or the entries through which a way leads.
struct WayInterest {
  bool whole = false;
  std::set<std::string> names;
  bool operator==(const WayInterest&) const = default;
};
using Ways = std::map<std::string, WayInterest>;  // by directory, without links on the way to it

// Looks at each entry once, so that many paths cost little; for one look at them, not to be kept.
class WayFinder {
 public:
  // Where `path`, which is absolute, leads, whether anything is there or not. Adds the directories
  // in which it is looked up and the entries there: while none of these comes, goes or is replaced,
  // the path leads there. Nothing when that cannot be told, or when there is no end to it.
  std::optional<std::string> follow(const std::string& path, Ways& ways);

 private:
  struct Entry {
    std::filesystem::path link;
    std::error_code error;
  };
  const Entry& look_at(const std::string& path);

  std::map<std::string, Entry> known_;
};

}  // namespace sharkcage
