#include "supervisor/sandbox/cgroup.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string_view>

#include "common/errors.h"
#include "common/fd.h"
#include "common/machine.h"

namespace sharkcage::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMount = "/sys/fs/cgroup";
// PID 1 of a sandbox, which is in its groups beside the commands, and keepers of commands, beside
// those that wait.
constexpr std::uint64_t kOurProcesses = 4;
constexpr std::uint64_t kPeriodUs = 100'000;
constexpr std::uint64_t kLeastQuotaUs = 1000;  // the kernel takes no less
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
    if (name == "memory" || name == "pids" || name == "cpu") return true;
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
      const std::string below = path == "/" ? "" : path;
      if (names == "memory" || names == "pids") {
        found[names] = std::string(kMount) + "/" + names + below;
      } else if (names == "cpu" || names.starts_with("cpu,") || names.ends_with(",cpu")) {
        found["cpu"] = std::string(kMount) + "/" + names + below;
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
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char block[512];
  const ssize_t got = file ? ::read(file.get(), block, sizeof block) : -1;
  if (got < 0) return errno == ENOENT || errno == ESRCH;  // reaped just now
  const std::string_view text(block, static_cast<std::size_t>(got));
  const std::size_t name_end = text.rfind(')');
  return name_end != std::string_view::npos && text.substr(name_end, 3) == ") Z";
}

// The number behind `name`, at the start of a line of a file of counters; 0 without the file.
std::uint64_t counter(const UniqueFd& file, std::string_view name) {
  char text[512];
  // Reading also tells the kernel that we know of everything until now (kernfs).
  const ssize_t got = file ? ::pread(file.get(), text, sizeof text - 1, 0) : 0;
  if (got <= 0) return 0;
  text[got] = '\0';
  const std::string_view all(text, static_cast<std::size_t>(got));
  for (std::size_t at = 0; (at = all.find(name, at)) != std::string_view::npos; ++at) {
    if (at == 0 || all[at - 1] == '\n') return std::strtoull(text + at + name.size(), nullptr, 10);
  }
  return 0;
}

}  // namespace

ControlGroup::ControlGroup(const std::string& name, const Limits& limits) {
  const bool fewer = limits.cpus < usable_processors();
  for (const auto& [controller, parent] : own_groups()) {
    if (controller == "cpu" && !fewer) continue;
    Group group{parent, parent + "/" + name, controller.empty()};
    if (::mkdir(group.path.c_str(), 0755) != 0) continue;
    groups_.push_back(group);
    if (group.unified || controller == "memory") limit_memory(group, limits.memory);
    if (group.unified || controller == "pids") {
      limit_pids(group, limits.pids + kOurProcesses + most_waiting_keepers(limits));
    }
    if (fewer && (group.unified || controller == "cpu")) limit_processors(group, limits.cpus);
    if (group.unified) {
      unified_.reset(::open(group.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    }
  }
  read_hits();
}

void ControlGroup::limit_memory(const Group& group, std::uint64_t bytes) {
  const std::string memory = std::to_string(bytes);
  if (group.unified) {
    if (!write_value(group.path + "/memory.max", memory)) return;
    write_value(group.path + "/memory.swap.max", "0");
    memory_events_.reset(::open((group.path + "/memory.events").c_str(), O_RDONLY | O_CLOEXEC));
  } else {
    if (!write_value(group.path + "/memory.limit_in_bytes", memory)) return;
    // Swap counts, too, where the kernel counts it.
    write_value(group.path + "/memory.memsw.limit_in_bytes", memory);
    watch_memory(group.path);
  }
  controllers_.emplace_back("memory");
}

// An eventfd that the kernel writes when the limit is hit (Documentation/admin-guide/cgroup-v1/
// memory.rst, "OOM Control"). Without one, the counter is read when a command has ended.
void ControlGroup::watch_memory(const std::string& path) {
  memory_events_.reset(::open((path + "/memory.oom_control").c_str(), O_RDONLY | O_CLOEXEC));
  UniqueFd alarm(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const std::string wish = std::to_string(alarm.get()) + " " + std::to_string(memory_events_.get());
  if (memory_events_ && alarm && write_value(path + "/cgroup.event_control", wish)) {
    memory_alarm_ = std::move(alarm);
  }
}

void ControlGroup::limit_pids(const Group& group, std::uint64_t pids) {
  if (!write_value(group.path + "/pids.max", std::to_string(pids))) return;
  pids_events_.reset(::open((group.path + "/pids.events").c_str(), O_RDONLY | O_CLOEXEC));
  controllers_.emplace_back("pids");
}

void ControlGroup::limit_processors(const Group& group, double cpus) {
  const auto wanted = static_cast<std::uint64_t>(std::llround(cpus * kPeriodUs));
  const std::string quota = std::to_string(std::max(wanted, kLeastQuotaUs));
  const std::string period = std::to_string(kPeriodUs);
  const bool set = group.unified ? write_value(group.path + "/cpu.max", quota + " " + period)
                                 : write_value(group.path + "/cpu.cfs_period_us", period) &&
                                       write_value(group.path + "/cpu.cfs_quota_us", quota);
  if (set) controllers_.emplace_back("cpu");
}

bool ControlGroup::has(const char* controller) const {
  return std::find(controllers_.begin(), controllers_.end(), controller) != controllers_.end();
}

void ControlGroup::add_to(std::vector<pollfd>& events) const {
  if (memory_alarm_) {
    events.push_back({memory_alarm_.get(), POLLIN, 0});
  } else if (memory_events_ && unified_) {
    events.push_back({memory_events_.get(), POLLPRI, 0});
  }
  if (tells_pids()) events.push_back({pids_events_.get(), POLLPRI, 0});
}

bool ControlGroup::memory_alarmed(const std::vector<pollfd>& events) const {
  return memory_alarm_ && std::any_of(events.begin(), events.end(), [&](const pollfd& event) {
           return event.fd == memory_alarm_.get() && (event.revents & POLLIN) != 0;
         });
}

ControlGroup::Hits ControlGroup::read_hits() {
  if (memory_alarm_) {
    std::uint64_t alarms = 0;
    if (::read(memory_alarm_.get(), &alarms, sizeof alarms) < 0 && errno != EAGAIN) {
      throw_errno("read", "an eventfd");
    }
  }
  return {counter(memory_events_, "oom_kill "), counter(pids_events_, "max ")};
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
  // One by one: a controller that is not there would refuse the others, too.
  write_value(own->second + "/cgroup.subtree_control", "+memory");
  write_value(own->second + "/cgroup.subtree_control", "+pids");
  write_value(own->second + "/cgroup.subtree_control", "+cpu");
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
