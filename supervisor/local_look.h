// Looks at a path that a command chose, on the supervisor's own thread, without asking anybody: a
// file system of the network, of a daemon (FUSE) or of an automounter may never answer, and what
// would be asked for leaves the machine.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "common/fd.h"

namespace sharkcage {

enum class Presence {
  kThere,
  kMissing,
  kUnknown,  // it would be on a file system that is not asked, or is too far to go
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
  // `components`: how many all of its looks together may go, since the links on the way are a
  // command's to make as well.
  explicit LocalLook(std::vector<std::string> trusted, std::size_t components = kMaxComponents)
      : trusted_(std::move(trusted)), left_(components) {}

  // An absolute path. `follow`: the last component, if it is a link. Links before it are followed.
  LocalPlace find(const std::string& path, bool follow) const;

  // Some tens of milliseconds. One look goes over 256 at most.
  static constexpr std::size_t kMaxComponents = 16384;

 private:
  LocalPlace enter_mount(int directory, const std::string& name, const std::string& real,
                         bool last) const;
  bool is_asked(const std::string& mount_point, const std::string& type) const;

  const std::vector<std::string> trusted_;
  mutable std::size_t left_;
};

}  // namespace sharkcage
