#include "supervisor/sandbox/tally.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "common/fd.h"

namespace sharkcage::sandbox {
namespace {

constexpr std::uint64_t kKiB = 1024;
// The fastest that memory was seen to be filled by several processes at once.
constexpr std::uint64_t kBytesAMillisecond = 8u << 20;
constexpr std::chrono::milliseconds kLeastPause{50};
constexpr std::chrono::milliseconds kMostPause{1000};
// A sandbox holds no more than its limit of processes; a tree that changes while it is walked could
// show more.
constexpr std::size_t kMostProcesses = 1u << 16;

std::string place(pid_t pid, std::string_view file) {
  return "/proc/" + std::to_string(pid) + "/" + std::string(file);
}

// The start of a file of /proc, or nothing where the process is gone or closed to us.
std::string text_of(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text(8192, '\0');
  const ssize_t got = file ? ::read(file.get(), text.data(), text.size()) : -1;
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

// The number behind "name:" at the start of a line.
std::uint64_t number_of(std::string_view text, std::string_view name) {
  for (std::size_t at = 0; (at = text.find(name, at)) != std::string_view::npos; ++at) {
    if (at > 0 && text[at - 1] != '\n') continue;
    std::string_view rest = text.substr(at + name.size());
    rest.remove_prefix(std::min(rest.find_first_not_of(": \t"), rest.size()));
    std::uint64_t value = 0;
    std::from_chars(rest.data(), rest.data() + rest.size(), value);
    return value;
  }
  return 0;
}

template <typename Visit>
void each_entry(const std::string& directory, Visit visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(directory.c_str()), &::closedir);
  if (!open) return;
  while (const dirent* entry = ::readdir(open.get())) {
    if (entry->d_name[0] != '.') visit(entry->d_name);
  }
}

// Whom the threads of a process have made and nobody has reaped (proc(5), children): with orphans,
// which belong to PID 1, every process of a sandbox comes from its PID 1.
void add_children(pid_t parent, std::vector<pid_t>& found) {
  const std::string tasks = place(parent, "task");
  each_entry(tasks, [&](const char* thread) {
    const std::string list = text_of(tasks + "/" + thread + "/children");
    const char* at = list.data();
    const char* const end = at + list.size();
    for (pid_t pid = 0; at < end && found.size() < kMostProcesses; ++at) {
      const auto [next, error] = std::from_chars(at, end, pid);
      if (error != std::errc{}) return;
      found.push_back(pid);
      at = next;
    }
  });
}

std::vector<pid_t> processes_of(pid_t init) {
  std::vector<pid_t> found;
  add_children(init, found);
  for (std::size_t i = 0; i < found.size(); ++i) add_children(found[i], found);
  return found;
}

void add_times(pid_t pid, Use& use) {
  const std::string text = text_of(place(pid, "stat"));
  // The name may hold anything, but is the last thing in parentheses; user and system time are the
  // 12th and 13th field behind it (proc(5)).
  std::size_t at = text.rfind(')');
  for (int field = 0; field < 12 && at != std::string::npos; ++field) at = text.find(' ', at + 1);
  if (at == std::string::npos) return;
  char* next = nullptr;
  const long tick = ::sysconf(_SC_CLK_TCK);
  const auto user = static_cast<long>(std::strtoul(text.c_str() + at, &next, 10));
  const auto system = static_cast<long>(std::strtoul(next, nullptr, 10));
  use.user += std::chrono::milliseconds(user * 1000 / tick);
  use.system += std::chrono::milliseconds(system * 1000 / tick);
}

struct Mapped {
  std::uint64_t own = 0;
  std::uint64_t shared = 0;  // of memory that has no file, of files in memory
};

Mapped upper_bound(const std::string& status) {
  return {(number_of(status, "RssAnon") + number_of(status, "VmSwap")) * kKiB,
          number_of(status, "RssShmem") * kKiB};
}

// Each page divided by the number of processes that map it.
Mapped share_of(pid_t pid) {
  const std::string rollup = text_of(place(pid, "smaps_rollup"));
  if (rollup.empty()) return upper_bound(text_of(place(pid, "status")));
  return {(number_of(rollup, "Pss_Anon") + number_of(rollup, "SwapPss")) * kKiB,
          number_of(rollup, "Pss_Shmem") * kKiB};
}

// What memory files (memfd_create(2)) that the process has open hold, each counted once.
std::uint64_t memory_files(pid_t pid, std::set<std::pair<dev_t, ino_t>>& seen) {
  std::uint64_t bytes = 0;
  const std::string directory = place(pid, "fd");
  each_entry(directory, [&](const char* number) {
    const std::string path = directory + "/" + number;
    char target[16];
    const ssize_t size = ::readlink(path.c_str(), target, sizeof target);
    if (size <= 0 ||
        !std::string_view(target, static_cast<std::size_t>(size)).starts_with("/memfd:"))
      return;
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return;
    if (!seen.insert({status.st_dev, status.st_ino}).second) return;
    bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
  });
  return bytes;
}

}  // namespace

Use Tally::take(std::uint64_t limit) const {
  Use use;
  use.processes = processes_of(init_);
  const std::vector<pid_t>& processes = use.processes;
  Mapped bound;
  for (const pid_t pid : processes) {
    const std::string status = text_of(place(pid, "status"));
    const Mapped mapped = upper_bound(status);
    bound.own += mapped.own;
    bound.shared += mapped.shared;
    use.threads += number_of(status, "Threads");
    add_times(pid, use);
  }
  const Mapped kept = upper_bound(text_of(place(facade_, "status")));
  const std::uint64_t files = in_files(processes) + kept.own + kept.shared;
  use.memory = bound.own + bound.shared + files;
  if (use.memory <= limit) return use;
  Mapped exact;
  for (const pid_t pid : processes) {
    const Mapped mapped = share_of(pid);
    exact.own += mapped.own;
    exact.shared += mapped.shared;
  }
  // What of the files is mapped stands in both.
  use.memory = exact.own + std::max(exact.shared, files);
  return use;
}

std::uint64_t Tally::in_files(const std::vector<pid_t>& processes) const {
  std::uint64_t bytes = 0;
  std::set<std::pair<dev_t, ino_t>> seen;
  for (const pid_t pid : processes) bytes += memory_files(pid, seen);
  for (const UniqueFd& place : file_systems_) {
    struct statfs status {};
    if (::fstatfs(place.get(), &status) != 0) continue;
    bytes += (status.f_blocks - status.f_bfree) * static_cast<std::uint64_t>(status.f_bsize);
  }
  return bytes;
}

std::chrono::milliseconds Tally::pause(std::uint64_t used, std::uint64_t limit) {
  const std::uint64_t room = limit > used ? limit - used : 0;
  return std::clamp(std::chrono::milliseconds(room / kBytesAMillisecond), kLeastPause, kMostPause);
}

}  // namespace sharkcage::sandbox
