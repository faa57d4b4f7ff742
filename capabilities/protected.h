// Protected paths (invariant 5): credentials and the system's own state, which no approval opens.
#pragma once

#include <string>
#include <vector>

#include "capabilities/policy.h"
#include "common/places.h"

namespace sharkcage {

struct ProtectedPath {
  std::string path;  // as it is named: absolute, normal form
  std::string real;  // where it is, all links resolved; `path` if it does not exist
  bool exists = false;
  // Children that are not protected, for the host's state: "skills", "workspace*".
  std::vector<std::string> open_children;
  bool write_only = false;    // reading may be granted, writing may not (system directories)
  bool system = false;        // outside any home: a workspace must not contain it either
  bool above_only = false;    // the home itself: what is inside is open, the whole of it is not
  bool links_listed = false;  // where links directly inside lead is in the list too
  bool operator==(const ProtectedPath&) const = default;
};

struct ProtectionInput {
  std::string home;   // the person's; absolute
  bool root = false;  // the person is root: /root is a home like any other
  Places places;
  std::vector<std::string> configured;   // Config::protected_paths
  std::vector<std::string> host_states;  // the host's state directories; default: ~/.openclaw
};

// The built-in list, the instance's own places, the host's state and the configured paths, with
// links resolved as they are now. Reads the file system (a lookup or two an entry). Sorted by path.
std::vector<ProtectedPath> protected_paths(const ProtectionInput& input);

// Where a path is: with every link resolved, and whether anything is there. One system call for the
// usual case of a path without links.
struct ProtectedPlace {
  std::string real;
  bool exists = false;
};
ProtectedPlace locate_protected(const std::string& path);

// The first protected path that a grant of `path` would open: the same, one inside it, or one above
// it. Compares names and real places. Null when there is none. Pure.
const ProtectedPath* conflict_of(const std::string& path, Access access,
                                 const std::vector<ProtectedPath>& list);

// Whether `path` is `directory` or lies below it. Both absolute and in normal form.
bool is_within(const std::string& path, const std::string& directory);

// Throws UserError when `workspace` cannot be one: not in normal form, the root directory, a home
// or above it, a protected path or inside one, above a protected path of the system. A workspace
// above another protected path is allowed: the policy hides that. `workspace` and `home` are real
// paths. Pure.
void check_workspace(const std::string& workspace, Access access, const std::string& home,
                     const std::vector<ProtectedPath>& list);

}  // namespace sharkcage
