// Async-signal-safe: runs in children of PID 1, or in PID 1. No allocation, no exception, no
// locale.
#include "supervisor/sandbox/keeper.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace sharkcage::sandbox {
namespace {

constexpr int kNotFound = 127;
constexpr int kNotExecutable = 126;

// How long the processes of a command may take to be ended, and how long one round waits.
constexpr long kEndPatienceMs = 1000;
constexpr int kEndRoundMs = 5;

long now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

std::uint64_t microseconds(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000u +
         static_cast<std::uint64_t>(time.tv_usec);
}

void say(const char* text) {
  if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) return;
}

constexpr int kGatePlace = 3;

// To 0, 1, 2, though each may already be one of them. All others are closed but the gate, which the
// command does not get either.
bool place(const int* stdio, int gate) {
  int high[kGatePlace + 1];
  for (int i = 0; i < kGatePlace; ++i) high[i] = ::fcntl(stdio[i], F_DUPFD, 10);
  high[kGatePlace] = ::fcntl(gate, F_DUPFD, 10);
  for (int i = 0; i < kGatePlace; ++i) {
    if (::dup2(high[i], i) < 0) return false;
  }
  return ::dup3(high[kGatePlace], kGatePlace, O_CLOEXEC) >= 0 &&
         ::close_range(kGatePlace + 1, ~0u, 0) == 0;
}

bool is_full(const char* path) {
  struct statfs status {};
  return ::statfs(path, &status) == 0 && status.f_type == TMPFS_MAGIC &&
         (status.f_bfree == 0 || status.f_ffree == 0);
}

// Of the sandbox, PID 1 and keepers included.
std::uint32_t count_processes() {
  const int proc = ::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0) return 0;
  alignas(dirent64) char entries[8192];
  std::uint32_t found = 0;
  for (long size; (size = ::syscall(SYS_getdents64, proc, entries, sizeof entries)) > 0;) {
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const dirent64*>(entries + at);
      if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') ++found;
      at += entry->d_reclen;
    }
  }
  ::close(proc);
  return found;
}

void lower_limit(const RlimitRule& rule) {
  rlimit limit{};
  const auto resource = static_cast<__rlimit_resource_t>(rule.resource);
  if (::getrlimit(resource, &limit) != 0) return;
  limit.rlim_max = limit.rlim_max < rule.value ? limit.rlim_max : rule.value;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(resource, &limit);
}

// What the deputy reads: whose processes are below (task.cc). Only this process can change it.
void show_command(std::uint64_t number) {
  char name[16] = {};
  std::size_t length = 0;
  for (const char* c = kKeeperName; *c != '\0'; ++c) name[length++] = *c;
  std::size_t digits = 1;
  for (std::uint64_t rest = number / 10; rest > 0; rest /= 10) ++digits;
  if (length + digits >= sizeof name) return;
  for (std::size_t i = digits; i > 0; --i, number /= 10) {
    name[length + i - 1] = static_cast<char>('0' + number % 10);
  }
  ::prctl(PR_SET_NAME, name, 0, 0, 0);
}

}  // namespace

void Keeper::run() {
  if (!alone() && ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
    fail(InitReport::kCommand, "PR_SET_CHILD_SUBREAPER");
  }
  if (!alone()) ::setsid();
  InitReport report;
  report.kind = InitReport::kKeeper;
  report.session = ::getsid(0);
  tell(report);
  for (;;) {
    take_command();
    start();
    serve();
  }
}

void Keeper::take_command() {
  InitOrder order;
  std::size_t count = 0;
  // A signal or an end for the command before may have crossed the news that it is over.
  do {
    if (!receive_order(channel_, order, fds_, count)) ::_exit(1);
  } while (order.kind != InitOrder::kRun);
  show_command(order.command);
  if (count <= kGateFd || !image_.map(fds_[kImageFd])) fail(InitReport::kCommand, "its image");
  ::close(fds_[kImageFd]);
  if (image_.terminal()) open_terminal();
  if (!image_.terminal() && count != kRunFds) {
    errno = EBADF;
    fail(InitReport::kCommand, "standard input, output and error");
  }
}

void Keeper::open_terminal() {
  const int master = ::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  int unlock = 0;
  if (master < 0 || ::ioctl(master, TIOCSPTLCK, &unlock) != 0) {
    fail(InitReport::kTerminalDevice, "/dev/ptmx");
  }
  const int slave = ::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  winsize size{};
  size.ws_row = image_.rows();
  size.ws_col = image_.columns();
  if (slave < 0 || ::ioctl(master, TIOCSWINSZ, &size) != 0) {
    fail(InitReport::kTerminalDevice, "/dev/ptmx");
  }
  InitReport report;
  report.kind = InitReport::kTerminal;
  tell(report, master);
  ::close(master);
  for (std::size_t i = kStdinFd; i < kRunFds; ++i) fds_[i] = slave;
  terminal_ = slave;
  hold_terminal();
}

// It belongs to this process's session: it is not hung up when the command ends (tty_ioctl(4)).
void Keeper::hold_terminal() {
  if (::ioctl(terminal_, TIOCSCTTY, 0) != 0) fail(InitReport::kTerminalDevice, "TIOCSCTTY");
  has_terminal_ = true;
}

// Nothing of the command is left, but its terminal may be open elsewhere.
void Keeper::let_terminal_go() {
  if (!has_terminal_) return;
  has_terminal_ = false;
  const int own = ::open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
  if (own < 0) return;
  ::ioctl(own, TIOCNOTTY);
  ::close(own);
}

// All signals are blocked here, SIGTTOU too.
void Keeper::take_foreground(pid_t group) {
  if (terminal_ >= 0) ::ioctl(terminal_, TIOCSPGRP, &group);
}

void Keeper::start() {
  executed_ = true;
  dropped_ = false;
  leader_ = spawn();
  const int error = errno;
  ::close(fds_[kGateFd]);
  for (std::size_t i = kStdinFd; i < kRunFds; ++i) {
    if (!image_.terminal()) ::close(fds_[i]);
  }
  if (leader_ < 0) {
    errno = error;
    fail(InitReport::kCommand, "fork");
  }
  if (workdir_error_ != 0) {
    errno = workdir_error_;
    fail(InitReport::kWorkdir, image_.workdir());
  }
  image_.unmap();
}

// vfork: nothing of this process is copied, and its return tells that the command was executed, or
// that `executed_`, which the child shares, says why not.
[[gnu::noinline]] pid_t Keeper::spawn() {
  const pid_t child = ::vfork();
  if (child == 0) become_command();
  return child;
}

void Keeper::become_command() {
  ::setpgid(0, 0);
  if (!image_.background()) take_foreground(::getpgrp());
  if (!place(fds_ + kStdinFd, fds_[kGateFd])) {
    executed_ = false;
    ::_exit(kNotExecutable);
  }
  if (::chdir(image_.workdir()) != 0) {
    executed_ = false;
    workdir_error_ = errno;
    ::_exit(kNotExecutable);
  }
  for (const RlimitRule& rule : plan_.rlimits) lower_limit(rule);
  dropped_ = !pass_gate();
  if (dropped_) {
    executed_ = false;
    ::_exit(kNotExecutable);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int status = execute();
  executed_ = false;
  ::_exit(status);
}

// The verdict may not be durable yet. What waits here is our own program: a socket cannot be opened
// through /proc, so that no other process of the sandbox can pass anything to it either.
bool Keeper::pass_gate() {
  char go = 0;
  ssize_t got;
  do got = ::read(kGatePlace, &go, 1);
  while (got < 0 && errno == EINTR);
  return got == 1;
}

// The search of execvp(3). Returns the exit status of a shell that could not execute it.
int Keeper::execute() {
  int error = ENOENT;
  for (char** candidate = image_.candidates(); *candidate != nullptr; ++candidate) {
    ::execve(*candidate, image_.argv(), image_.environment());
    if (errno == ENOEXEC) {
      // A script without "#!" belongs to the shell (POSIX, exec).
      image_.script_argv()[1] = *candidate;
      ::execve("/bin/sh", image_.script_argv(), image_.environment());
    }
    if (errno == ENOENT || errno == ENOTDIR) continue;
    error = errno;
    if (error != EACCES) break;
  }
  explain(error);
  return error == ENOENT ? kNotFound : kNotExecutable;
}

void Keeper::explain(int error) {
  say("sharkcage: ");
  if (error == E2BIG) {
    say("the command and its environment are longer than the kernel takes (execve: E2BIG)\n");
    return;
  }
  say(image_.argv()[0]);
  if (error == ENOENT) {
    say(plan_.exec_any ? ": no such program in the sandbox\n"
                       : ": no such program in the sandbox, or it is not approved\n");
  } else if (error == EACCES) {
    say(plan_.exec_any ? ": not executable\n" : ": not executable, or not approved\n");
  } else {
    say(": cannot be executed\n");
  }
}

// Reaps, and carries out orders, until nothing is left.
void Keeper::serve() {
  while (!reap()) {
    pollfd events[3] = {{channel_, POLLIN, 0}, {children_, POLLIN, 0}, {monitor_, POLLIN, 0}};
    if (::poll(events, 3, -1) < 0) continue;
    signalfd_siginfo info;
    if (events[1].revents != 0 && ::read(children_, &info, sizeof info) < 0) continue;
    if (events[0].revents != 0 && obey()) return;
    // Nothing more is ordered of a PID 1 that keeps its last command: this is end of file.
    if (events[2].revents != 0) ::_exit(1);
  }
}

// True when nothing is left.
bool Keeper::obey() {
  InitOrder order;
  int fds[kRunFds];
  std::size_t count = 0;
  if (!receive_order(channel_, order, fds, count)) ::_exit(1);
  for (std::size_t i = 0; i < count; ++i) ::close(fds[i]);
  if (order.kind == InitOrder::kSignal && leader_ > 0) ::kill(-leader_, order.value);
  if (order.kind == InitOrder::kForeground && leader_ > 0) {
    take_foreground(order.value != 0 ? leader_ : ::getpgrp());
  }
  if (order.kind != InitOrder::kEnd) return false;
  end_tree();
  return true;
}

// True when nothing is left.
bool Keeper::reap() {
  InitReport report;
  report.kind = InitReport::kOver;
  pid_t pid = 0;
  do {
    int status = 0;
    rusage usage{};
    pid = ::wait4(-1, &status, WNOHANG | WUNTRACED | __WALL, &usage);
    if (pid <= 0 || pid != leader_) continue;
    if (WIFSTOPPED(status)) {
      stopped(WSTOPSIG(status));
    } else if (dropped_) {
      leader_ = 0;  // nothing has returned, and what was refused meanwhile is another command's
      close_terminal();
    } else {
      report = returned(status, usage);
    }
  } while (pid > 0);
  const bool nothing_left = pid < 0;
  if (nothing_left) let_terminal_go();
  report.over = nothing_left && !alone();
  if (nothing_left || report.kind == InitReport::kReturned) tell(report);
  // The end of PID 1 is the end of every process of its namespace (pid_namespaces(7)).
  if (alone() && leader_ == 0) ::_exit(0);
  return nothing_left;
}

// Whoever is told decides when it goes on, and in whose foreground.
void Keeper::stopped(int signal) {
  if (terminal_ < 0) return;
  take_foreground(::getpgrp());
  InitReport report;
  report.kind = InitReport::kStopped;
  report.value = signal;
  tell(report);
}

InitReport Keeper::returned(int status, const rusage& usage) {
  InitReport report;
  report.kind = InitReport::kReturned;
  report.value = status;
  report.not_found = !executed_ && WIFEXITED(status) && WEXITSTATUS(status) == kNotFound;
  report.cpu_us = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
  report.max_rss = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  report.full = is_full("/tmp") || is_full("/dev/shm");
  if (plan_.tell_processes) report.processes = count_processes();
  leader_ = 0;
  close_terminal();
  return report;
}

// The client reads to the end: this process must not keep it open.
void Keeper::close_terminal() {
  if (terminal_ >= 0) ::close(terminal_);
  terminal_ = -1;
}

// Whoever is killed leaves its children to this process, so that each round reaches one generation
// more. One that forks faster than it can be killed is left to the monitor, which ends the sandbox
// when this process ends without having said that nothing is left.
void Keeper::end_tree() {
  const long deadline = now_ms() + kEndPatienceMs;
  while (now_ms() < deadline) {
    kill_children();
    pollfd ended{children_, POLLIN, 0};
    signalfd_siginfo info;
    if (::poll(&ended, 1, kEndRoundMs) > 0 && ::read(children_, &info, sizeof info) < 0) continue;
    if (reap()) return;
  }
  ::_exit(1);
}

// From proc_pid_task_children(5): numbers, each followed by a space.
void Keeper::kill_children() {
  char path[] = "/proc/thread-self/children";
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) ::_exit(1);
  char block[4096];
  pid_t child = 0;
  for (ssize_t got; (got = ::read(file, block, sizeof block)) > 0;) {
    for (ssize_t i = 0; i < got; ++i) {
      if (block[i] >= '0' && block[i] <= '9') {
        child = child * 10 + (block[i] - '0');
      } else {
        if (child > 0) ::kill(child, SIGKILL);
        child = 0;
      }
    }
  }
  ::close(file);
}

void Keeper::fail(InitReport::What what, const char* text) {
  InitReport report;
  report.kind = InitReport::kFailed;
  report.what = what;
  report.error = errno;
  std::strncpy(report.text, text, sizeof report.text - 1);
  tell(report);
  ::_exit(1);
}

// A monitor that is gone ends everything.
void Keeper::tell(const InitReport& report, int fd) {
  if (!send_report(channel_, report, fd)) ::_exit(1);
}

}  // namespace sharkcage::sandbox
