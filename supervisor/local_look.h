// Looks at a path that a command chose, on the supervisor's own thread, without asking anybody: a
// file system of the network, of a daemon (FUSE) or of an automounter may never answer, and what
// would be asked for leaves the machine.
#pragma once

#include <string>
#include <vector>

#include "common/fd.h"

namespace sharkcage {

enum class Presence {
  kThere,
  kMissing,
  kUnknown,  // it would be on a file system that is not asked
};

struct LocalPlace {
  Presence presence = Presence::kMissing;
  UniqueFd file;  // O_PATH, of what is there
};

// Goes component by component, as far as file systems of this machine's own go. One thread, with
// whatever file system rights that has (file_rights.h).
class LocalLook {
 public:
  // What holds one of these places (the person's home, the workspace) is asked, whatever it is: the
  // supervisor lives with it anyway.
  explicit LocalLook(std::vector<std::string> trusted) : trusted_(std::move(trusted)) {}

  // An absolute path. `follow`: the last component, if it is a link. Links before it are followed.
  LocalPlace find(const std::string& path, bool follow) const;

 private:
  LocalPlace enter_mount(int directory, const std::string& name, const std::string& real,
                         bool last) const;
  bool is_asked(const std::string& mount_point, const std::string& type) const;

  const std::vector<std::string> trusted_;
};

}  // namespace sharkcage
