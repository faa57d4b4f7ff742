#include "common/machine.h"

#include <sched.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <string_view>

#include "common/errors.h"

namespace sharkcage {
namespace {

constexpr const char* kGroups = "/sys/fs/cgroup";

// The number that a file starts with, if it is lower than `least`: "max" and a missing file are no
// limit.
std::uint64_t lowered(std::uint64_t least, const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return file >> value ? std::min(least, value) : least;
}

bool lists(std::string_view names, std::string_view name) {
  while (!names.empty()) {
    const std::size_t comma = std::min(names.find(','), names.size());
    if (names.substr(0, comma) == name) return true;
    names.remove_prefix(std::min(comma + 1, names.size()));
  }
  return false;
}

// The limits of this group and of all above it (cgroups(7), /proc/pid/cgroup).
void lower_to_groups(Machine& machine) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string names = line.substr(first + 1, second - first - 1);
    for (std::string path = line.substr(second + 1); !path.empty(); path.resize(path.rfind('/'))) {
      const std::string group = path == "/" ? "" : path;
      if (names.empty()) {
        machine.memory = lowered(machine.memory, kGroups + group + "/memory.max");
        machine.pids = lowered(machine.pids, kGroups + group + "/pids.max");
      } else if (lists(names, "memory")) {
        const std::string place = std::string(kGroups) + "/memory" + group;
        machine.memory = lowered(machine.memory, place + "/memory.limit_in_bytes");
      } else if (lists(names, "pids")) {
        machine.pids = lowered(machine.pids, std::string(kGroups) + "/pids" + group + "/pids.max");
      }
    }
  }
}

}  // namespace

unsigned usable_processors() {
  // Room for more than a kernel can have (CONFIG_NR_CPUS).
  constexpr int kMost = 16384;
  cpu_set_t* set = CPU_ALLOC(kMost);
  if (set == nullptr) return 1;
  const std::size_t size = CPU_ALLOC_SIZE(kMost);
  const int got = ::sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 1;
  CPU_FREE(set);
  return got > 0 ? static_cast<unsigned>(got) : 1;
}

Machine this_machine() {
  struct sysinfo info {};
  if (::sysinfo(&info) != 0) throw_errno("sysinfo");
  Machine machine;
  machine.memory = static_cast<std::uint64_t>(info.totalram) * info.mem_unit;
  machine.processors = usable_processors();
  machine.pids =
      lowered(lowered(UINT64_MAX, "/proc/sys/kernel/pid_max"), "/proc/sys/kernel/threads-max");
  lower_to_groups(machine);
  return machine;
}

Limits limits_within(Limits limits, const Machine& machine) {
  limits.memory = std::min(limits.memory, machine.memory);
  limits.cpus = std::min(limits.cpus, static_cast<double>(machine.processors));
  limits.pids = std::min(limits.pids, machine.pids);
  return limits;
}

}  // namespace sharkcage
