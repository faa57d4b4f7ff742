#include "supervisor/sandbox/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "common/errors.h"
#include "common/fd.h"

namespace sharkcage::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMount = "/sys/fs/cgroup";

bool write_value(const std::string& path, const std::string& value) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), value.data(), value.size()) >= 0;
}

// This process's own groups by controller (cgroups(7), /proc/pid/cgroup); "" is the v2 hierarchy.
const std::map<std::string, std::string>& own_groups() {
  static const std::map<std::string, std::string> groups = [] {
    std::map<std::string, std::string> found;
    std::ifstream file("/proc/self/cgroup");
    for (std::string line; std::getline(file, line);) {
      const std::size_t first = line.find(':');
      const std::size_t second = line.find(':', first + 1);
      if (first == std::string::npos || second == std::string::npos) continue;
      const std::string names = line.substr(first + 1, second - first - 1);
      const std::string path = line.substr(second + 1);
      if (names == "memory" || names == "pids") {
        found[names] = std::string(kMount) + "/" + names + (path == "/" ? "" : path);
      } else if (names.empty() &&
                 ::access((std::string(kMount) + "/cgroup.controllers").c_str(), F_OK) == 0) {
        found[""] = kMount + (path == "/" ? "" : path);
      }
    }
    return found;
  }();
  return groups;
}

}  // namespace

ControlGroup::ControlGroup(const std::string& name, const Limits& limits) {
  for (const auto& [controller, parent] : own_groups()) {
    Group group{parent, parent + "/" + name, controller.empty()};
    if (group.unified) write_value(parent + "/cgroup.subtree_control", "+memory +pids");
    if (::mkdir(group.path.c_str(), 0755) != 0) continue;
    groups_.push_back(group);
    limit(group, controller, limits);
    if (group.unified) {
      unified_.reset(::open(group.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    }
  }
}

void ControlGroup::limit(const Group& group, const std::string& controller, const Limits& limits) {
  const std::string memory = std::to_string(limits.memory);
  const std::string pids = std::to_string(limits.pids + 1);  // PID 1 beside them
  if (group.unified && write_value(group.path + "/memory.max", memory)) {
    write_value(group.path + "/memory.swap.max", "0");
    controllers_.emplace_back("memory");
  } else if (controller == "memory" && write_value(group.path + "/memory.limit_in_bytes", memory)) {
    // Swap counts, too, where the kernel counts it.
    write_value(group.path + "/memory.memsw.limit_in_bytes", memory);
    controllers_.emplace_back("memory");
  }
  if ((group.unified || controller == "pids") && write_value(group.path + "/pids.max", pids)) {
    controllers_.emplace_back("pids");
  }
}

ControlGroup::~ControlGroup() {
  for (const Group& group : groups_) ::rmdir(group.path.c_str());
}

void ControlGroup::enter() const {
  for (const Group& group : groups_) {
    if (!group.unified && !write_value(group.path + "/tasks", "0")) {
      throw_errno("write", group.path + "/tasks");
    }
  }
}

void ControlGroup::leave() const {
  for (const Group& group : groups_) {
    if (!group.unified && !write_value(group.parent + "/tasks", "0")) {
      throw_errno("write", group.parent + "/tasks");
    }
  }
}

void remove_stale_groups(const std::string& prefix) {
  for (const auto& [controller, parent] : own_groups()) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(parent, error)) {
      // rmdir fails for a group in use: that is the check.
      if (entry.path().filename().string().starts_with(prefix)) ::rmdir(entry.path().c_str());
    }
  }
}

}  // namespace sharkcage::sandbox
