#include "supervisor/sandbox/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "common/errors.h"
#include "common/fd.h"

namespace sharkcage::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMount = "/sys/fs/cgroup";
// Where the supervisor and its children are, if its own group had to be emptied.
constexpr const char* kLeaf = "/sharkcage-supervisor";

bool write_value(const std::string& path, const std::string& value) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), value.data(), value.size()) >= 0;
}

// A launcher that is started again finds itself where the first one went.
std::string without_leaf(const std::string& path) {
  const std::size_t leaf = std::char_traits<char>::length(kLeaf);
  return path.ends_with(kLeaf) ? path.substr(0, path.size() - leaf) : path;
}

// Of those that limit a sandbox.
bool has_controllers(const std::string& group) {
  std::ifstream file(group + "/cgroup.controllers");
  for (std::string name; file >> name;) {
    if (name == "memory" || name == "pids") return true;
  }
  return false;
}

// The hierarchy's own root, the only group that may hold processes and hand on controllers.
bool is_root(const std::string& group) {
  return ::access((group + "/cgroup.type").c_str(), F_OK) != 0;
}

std::vector<pid_t> processes_in(const std::string& group) {
  std::vector<pid_t> found;
  std::ifstream file(group + "/cgroup.procs");
  for (pid_t pid = 0; file >> pid;) found.push_back(pid);
  return found;
}

// True when `group` holds no process any more. Other programs' processes are left where they are.
bool move_processes_down(const std::string& group) {
  const std::vector<pid_t> processes = processes_in(group);
  const bool alone = std::all_of(processes.begin(), processes.end(),
                                 [](pid_t pid) { return pid == ::getpid() || pid == ::getppid(); });
  if (!alone) return false;
  const std::string leaf = group + kLeaf;
  if (!processes.empty() && ::mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST) return false;
  for (const pid_t pid : processes) write_value(leaf + "/cgroup.procs", std::to_string(pid));
  return processes_in(group).empty();
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
        found[""] = kMount + (path == "/" ? "" : without_leaf(path));
      }
    }
    return found;
  }();
  return groups;
}

// Also one that nobody has reaped yet: init may take its time with those whose parent died.
bool is_gone(pid_t pid) {
  if (::kill(pid, 0) != 0) return errno == ESRCH;
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text.compare(name_end, 3, ") Z") == 0;
}

}  // namespace

ControlGroup::ControlGroup(const std::string& name, const Limits& limits) {
  for (const auto& [controller, parent] : own_groups()) {
    Group group{parent, parent + "/" + name, controller.empty()};
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
  const std::string pids = std::to_string(limits.pids + 2);  // PID 1 and the facade beside them
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

void make_room_for_groups() {
  const auto own = own_groups().find("");
  if (own == own_groups().end() || !has_controllers(own->second)) return;
  // Not before the group is empty: "pids" alone would be accepted, and make the group a threaded
  // one, in which no sandbox can be born.
  if (!is_root(own->second) && !move_processes_down(own->second)) return;
  // One by one: a controller that is not there would refuse the other, too.
  write_value(own->second + "/cgroup.subtree_control", "+memory");
  write_value(own->second + "/cgroup.subtree_control", "+pids");
}

std::string group_name(pid_t launcher, pid_t monitor) {
  return "sharkcage-" + std::to_string(launcher) + "-" + std::to_string(monitor);
}

void remove_stale_groups() {
  for (const auto& [controller, parent] : own_groups()) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(parent, error)) {
      pid_t launcher = 0;
      pid_t monitor = 0;
      const std::string name = entry.path().filename().string();
      if (std::sscanf(name.c_str(), "sharkcage-%d-%d", &launcher, &monitor) != 2) continue;
      if (name != group_name(launcher, monitor)) continue;
      // Fails for a group that still holds a process; a later call removes it.
      if (is_gone(monitor)) ::rmdir(entry.path().c_str());
    }
  }
}

}  // namespace sharkcage::sandbox
