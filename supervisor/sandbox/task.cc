#include "supervisor/sandbox/task.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

#include "supervisor/sandbox/init_channel.h"
#include "supervisor/sandbox/syscalls.h"

namespace sharkcage::sandbox {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kMaxStatus = 8192;
constexpr pid_t kInit = 1;
constexpr int kMaxAncestors = 128;
constexpr int kMaxTries = 8;

// The number in a keeper's name; nothing if it has ended.
std::optional<std::uint64_t> number_in(int comm) {
  char name[32];
  const ssize_t size = ::pread(comm, name, sizeof name, 0);
  if (size < 0) return std::nullopt;
  const std::string_view text(name, static_cast<std::size_t>(size));
  const std::string_view prefix = kKeeperName;
  std::uint64_t number = 0;
  if (text.starts_with(prefix)) {
    std::from_chars(text.data() + prefix.size(), text.data() + text.size(), number);
  }
  return number;
}

// The last number in the line of `text` that begins with `name`: of NSpid and its kind, the one of
// the innermost namespace.
long last_number(std::string_view text, std::string_view name, int base) {
  std::size_t start = text.starts_with(name) ? 0 : text.find("\n" + std::string(name));
  if (start == std::string_view::npos) return -1;
  if (start != 0) ++start;
  const std::string_view line = text.substr(start, text.find('\n', start) - start);
  const std::string_view last = line.substr(line.find_last_of("\t ") + 1);
  long value = -1;
  std::from_chars(last.data(), last.data() + last.size(), value, base);
  return value;
}

}  // namespace

std::string Task::path_of(const char* entry) const {
  return std::to_string(tid_) + "/" + entry;
}

int Task::read(std::uint64_t address, void* to, std::size_t size) const {
  const iovec local{to, size};
  const iovec remote{reinterpret_cast<void*>(address), size};
  const ssize_t got = ::process_vm_readv(tid_, &local, 1, &remote, 1, 0);
  if (got == static_cast<ssize_t>(size)) return 0;
  return got < 0 && errno == EPERM ? EPERM : EFAULT;
}

int Task::read_path(std::uint64_t address, std::string& path) const {
  char block[kPage];
  path.clear();
  // Page by page: what follows the text may not be mapped.
  while (path.size() < PATH_MAX) {
    const std::size_t size = std::min(kPage - address % kPage, PATH_MAX - path.size());
    if (const int error = read(address, block, size)) return error;
    const std::size_t length = ::strnlen(block, size);
    path.append(block, length);
    if (length < size) return path.empty() ? ENOENT : 0;
    address += size;
  }
  return ENAMETOOLONG;
}

UniqueFd Task::directory(int dirfd) const {
  const std::string entry = dirfd == AT_FDCWD ? "cwd" : "fd/" + std::to_string(dirfd);
  if (dirfd < 0 && dirfd != AT_FDCWD) {
    errno = EBADF;
    return UniqueFd();
  }
  UniqueFd directory(
      ::openat(proc_, path_of(entry.c_str()).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (directory || dirfd == AT_FDCWD) return directory;
  if (errno == ENOTDIR) return UniqueFd();
  // A process that is not dumpable does not show its descriptors in /proc.
  UniqueFd taken = descriptor(dirfd);
  if (!taken) return UniqueFd();
  struct stat status {};
  if (::fstat(taken.get(), &status) != 0) return UniqueFd();
  if (S_ISDIR(status.st_mode)) return taken;
  errno = ENOTDIR;
  return UniqueFd();
}

UniqueFd Task::executable() const {
  return UniqueFd(::openat(proc_, path_of("exe").c_str(), O_PATH | O_CLOEXEC));
}

UniqueFd Task::descriptor(int fd) const {
  // A thread can have descriptors of its own (CLONE_THREAD without CLONE_FILES); before Linux 6.9 a
  // pidfd is the process's.
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, tid_, 0)));
  leads_ = static_cast<bool>(pidfd);
  if (!pidfd) pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, tid_, sys::kPidfdThread)));
  if (!pidfd && errno == EINVAL) {
    pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, status().leader, 0)));
  }
  if (!pidfd) {
    errno = EBADF;
    return UniqueFd();
  }
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), fd, 0)));
}

UniqueFd Task::open(const char* entry) const {
  return UniqueFd(::openat(proc_, path_of(entry).c_str(), O_RDONLY | O_CLOEXEC));
}

std::string Task::content_of(const char* entry) const {
  const UniqueFd file = open(entry);
  std::string text(kMaxStatus, '\0');
  const ssize_t size = file ? ::read(file.get(), text.data(), text.size()) : -1;
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

TaskStatus Task::status() const {
  const std::string text = content_of("status");
  const auto number = [&](std::string_view name) {
    return static_cast<pid_t>(std::max(last_number(text, name, 10), 0l));
  };
  TaskStatus status;
  status.leader = number("Tgid:");
  status.pid = number("NStgid:");
  status.parent = number("PPid:");
  status.session = number("NSsid:");
  const long mask = last_number(text, "Umask:", 8);
  // Not known: nobody else's business.
  status.mask = mask < 0 ? 077 : static_cast<mode_t>(mask);
  return status;
}

// PID 1 keeps the only command of its sandbox.
pid_t Task::command(pid_t session, std::atomic<pid_t>& last) const {
  if (session <= kInit || session == last) return session;
  const pid_t found = keeper().pid;
  if (found == session) last = found;
  return found > 0 ? found : session;
}

// The number inside, or 0. Keepers are the children of PID 1, and take in whoever has lost its
// parent (PR_SET_CHILD_SUBREAPER): a chain of which one ends meanwhile is a shorter one, and looked
// at anew.
Task::Keeper Task::keeper() const {
  for (int tries = 0; tries < kMaxTries; ++tries) {
    Keeper found{tid_, 0};
    TaskStatus below = status();
    for (int steps = 0; steps < kMaxAncestors && below.parent > 0; ++steps) {
      const TaskStatus above = Task(proc_, below.parent).status();
      if (above.pid == kInit) return {found.tid, below.pid};
      found.tid = below.parent;
      below = above;
    }
    if (below.pid > 0) return {};
  }
  return {};
}

// What a killed keeper leaves behind is below PID 1 as well, until the monitor ends the sandbox,
// and its name is its own choice. A keeper is a copy of PID 1, whose memory belongs to the host's
// user namespace (ptrace(2), "mm->user_ns"), so that the deputy may not look at it.
bool Task::was_executed_inside() const {
  const UniqueFd program = executable();
  return static_cast<bool>(program);
}

// A command is in its keeper's session, unless it has begun one of its own, under whatever name.
std::uint64_t Task::command_number(SeenKeeper& last) const {
  const pid_t session = ::getsid(tid_);
  if (session > 0 && session == last.tid) {
    if (const auto number = number_in(last.name.get())) return *number;
  }
  const Keeper found = keeper();
  const bool kept = found.pid != 0 && !Task(proc_, found.tid).was_executed_inside();
  pid_t tid = kept ? found.tid : 0;
  if (session > 0 && Task(proc_, session).status().pid == kInit) tid = session;
  last = {};
  if (tid == 0) return 0;
  last = {tid, Task(proc_, tid).open("comm")};
  return number_in(last.name.get()).value_or(0);
}

std::string Task::program() const {
  const pid_t leader = leads_ ? tid_ : status().leader;
  std::string name = Task(proc_, leader > 0 ? leader : tid_).content_of("comm");
  if (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

// proc(5), /proc/pid/stat: tty_nr is the fifth field after the name in parentheses, which may hold
// anything.
unsigned Task::terminal() const {
  const std::string text = content_of("stat");
  std::size_t at = text.rfind(')');
  for (int field = 0; field < 5 && at != std::string::npos; ++field) at = text.find(' ', at + 1);
  if (at == std::string::npos) return 0;
  int device = 0;
  std::from_chars(text.data() + at + 1, text.data() + text.size(), device);
  return static_cast<unsigned>(device);
}

}  // namespace sharkcage::sandbox
