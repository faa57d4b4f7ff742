// Attacks on processes of the host, and on the sandbox's own first process.
#include <fcntl.h>
#include <linux/ioprio.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "tests/escape/attacks/attack.h"

namespace escape {
namespace {

char planted[4096];

// Says "PID ADDRESS DESCRIPTOR" and waits to be attacked.
[[noreturn]] void wait_as_victim(const std::string& file) {
  const int open_file = ::open(file.c_str(), O_RDONLY);
  if (open_file < 0 || ::pread(open_file, planted, sizeof planted - 1, 0) < 0) stopped(file);
  ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  std::printf("%d %p %d\n", ::getpid(), static_cast<void*>(planted), open_file);
  std::fflush(stdout);
  for (;;) ::pause();
}

const Attack kVictim("victim", [](Arguments arguments) { wait_as_victim(text_at(arguments, 0)); });

// A victim with a file system that nobody else sees: /mnt/secret holds a copy of the file.
const Attack kVictimApart("victim-apart", [](Arguments arguments) {
  const std::string file = text_at(arguments, 0);
  const std::string secret = read_file(file);
  gain_namespaces(CLONE_NEWNS);
  if (::mount("none", "/mnt", "tmpfs", 0, nullptr) != 0) stopped("mount");
  const int copy = ::open("/mnt/secret", O_WRONLY | O_CREAT, 0644);
  if (::write(copy, secret.data(), secret.size()) < 0) stopped("write");
  ::close(copy);
  wait_as_victim(file);
});

// What a signal to `pid` comes to. Signal 0 would reach it, too, but nobody would notice.
const Attack kSignal("signal", [](Arguments arguments) {
  const std::string how = text_at(arguments, 0);
  const pid_t pid = number_at(arguments, 1);
  long sent = -1;
  if (how == "kill") sent = ::kill(pid, SIGTERM);
  if (how == "group") sent = ::kill(-pid, SIGTERM);
  if (how == "tkill") sent = ::syscall(SYS_tkill, pid, SIGTERM);
  if (how == "tgkill") sent = ::syscall(SYS_tgkill, pid, pid, SIGTERM);
  if (how == "queue") sent = ::sigqueue(pid, SIGTERM, {});
  if (how == "pidfd") {
    const long pidfd = ::syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) stopped("pidfd_open");
    sent = ::syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, nullptr, 0);
  }
  if (sent != 0) stopped(how);
  std::puts("sent");
});

// A pipe that signals its owner when there is something to read (fcntl(2), F_SETOWN, F_SETSIG).
const Attack kSignalOfDescriptor("signal-of-descriptor", [](Arguments arguments) {
  const pid_t pid = number_at(arguments, 0);
  int ends[2];
  if (::pipe(ends) != 0) stopped("pipe");
  f_owner_ex owner{F_OWNER_PID, pid};
  if (::fcntl(ends[0], F_SETOWN_EX, &owner) != 0) stopped("F_SETOWN_EX");
  if (::fcntl(ends[0], F_SETSIG, SIGTERM) != 0) stopped("F_SETSIG");
  if (::fcntl(ends[0], F_SETFL, O_ASYNC) != 0) stopped("O_ASYNC");
  if (::write(ends[1], "x", 1) != 1) stopped("write");
  std::puts("sent");
});

const Attack kPtrace("ptrace", [](Arguments arguments) {
  const pid_t pid = number_at(arguments, 0);
  const std::uintptr_t address = std::strtoull(text_at(arguments, 1).c_str(), nullptr, 16);
  if (::ptrace(PTRACE_ATTACH, pid, nullptr, nullptr) != 0) stopped("ptrace");
  ::waitpid(pid, nullptr, __WALL);
  std::string text;
  for (std::uintptr_t at = address; at < address + 64; at += sizeof(long)) {
    const long word = ::ptrace(PTRACE_PEEKDATA, pid, at, nullptr);
    text.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
  std::printf("%s\n", text.c_str());
});

const Attack kReadMemory("process-vm-readv", [](Arguments arguments) {
  char text[64] = {};
  const iovec local{text, sizeof text - 1};
  const iovec remote{
      reinterpret_cast<void*>(std::strtoull(text_at(arguments, 1).c_str(), nullptr, 16)),
      sizeof text - 1};
  if (::process_vm_readv(number_at(arguments, 0), &local, 1, &remote, 1, 0) < 0) {
    stopped("process_vm_readv");
  }
  std::printf("%s\n", text);
});

const Attack kProcMem("proc-mem", [](Arguments arguments) {
  const std::string path = "/proc/" + text_at(arguments, 0) + "/mem";
  const int memory = ::open(path.c_str(), O_RDWR);
  if (memory < 0) stopped(path);
  char text[64] = {};
  const auto address = std::strtoull(text_at(arguments, 1).c_str(), nullptr, 16);
  if (::pread(memory, text, sizeof text - 1, static_cast<off_t>(address)) < 0) stopped("pread");
  std::printf("%s\n", text);
});

const Attack kStealDescriptor("steal-descriptor", [](Arguments arguments) {
  const long pidfd = ::syscall(SYS_pidfd_open, number_at(arguments, 0), 0);
  if (pidfd < 0) stopped("pidfd_open");
  const long taken = ::syscall(SYS_pidfd_getfd, pidfd, number_at(arguments, 2), 0);
  if (taken < 0) stopped("pidfd_getfd");
  char text[64] = {};
  if (::pread(static_cast<int>(taken), text, sizeof text - 1, 0) < 0) stopped("pread");
  std::printf("%s\n", text);
});

// Of a process outside, and of the sandbox's first one, which holds what the supervisor said.
const Attack kInspect("inspect", [](Arguments arguments) {
  const std::string process = "/proc/" + text_at(arguments, 0) + "/";
  for (const char* name : {"mem", "maps", "environ", "auxv", "syscall", "stack", "io"}) {
    const int file = ::open((process + name).c_str(), O_RDONLY);
    char byte;
    if (file >= 0 && (std::strcmp(name, "mem") == 0 || ::read(file, &byte, 1) > 0)) {
      through("opened " + process + name);
    }
  }
  for (const char* name : {"exe", "root", "cwd", "fd/0", "ns/mnt"}) {
    char target[256];
    if (::readlink((process + name).c_str(), target, sizeof target) > 0) {
      through("followed " + process + name);
    }
  }
  stopped(process);
});

// The same for writing: whoever opens it for the attack may have more rights than the attack.
const Attack kWriteInto("write-into", [](Arguments arguments) {
  const std::string process = "/proc/" + text_at(arguments, 0) + "/";
  for (const char* name : {"mem", "fd/0", "fd/1", "fd/2", "fd/3", "fd/4", "fd/5", "fd/6", "fd/7",
                           "fd/8", "cwd/made", "root/made", "root/tmp/made", "oom_score_adj",
                           "uid_map", "setgroups", "attr/current", "task/1/fd/0"}) {
    const int file = ::open((process + name).c_str(), O_RDWR | O_CREAT | O_NONBLOCK, 0644);
    if (file >= 0) through("opened " + process + name + " for writing");
  }
  stopped(process);
});

const Attack kLimitOfAnother("limit-of-another", [](Arguments arguments) {
  const rlimit limit{7, 7};
  if (::prlimit(number_at(arguments, 0), RLIMIT_NOFILE, &limit, nullptr) != 0) stopped("prlimit");
  std::puts("set");
});

const Attack kPriorityOfAnother("priority-of-another", [](Arguments arguments) {
  const pid_t pid = number_at(arguments, 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  const int affinity = ::sched_setaffinity(pid, sizeof one, &one);
  const long input =
      ::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
  const int priority = ::setpriority(PRIO_PROCESS, static_cast<id_t>(pid), 19);
  if (affinity != 0 && input != 0 && priority != 0) stopped("setpriority");
  std::puts("set");
});

// Stops whoever started this, and ends: nobody notices, unless somebody else looks.
const Attack kStopParent("stop-parent", [](Arguments) {
  if (::kill(::getppid(), SIGSTOP) != 0) stopped("kill");
  std::puts("sent");
});

// Leaves a process that has left everything: session, group, terminal, descriptors. It counts.
const Attack kOrphan("orphan", [](Arguments arguments) {
  const std::string file = text_at(arguments, 0);
  // Its end: the file is there when the suite looks.
  int begun[2];
  if (::pipe(begun) != 0) stopped("pipe");
  if (::fork() > 0) {
    ::close(begun[1]);
    char none = 0;
    while (::read(begun[0], &none, 1) > 0) continue;
    std::puts("left it");
    return;
  }
  ::setsid();
  if (::fork() > 0) ::_exit(0);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_IGN);
  const int out = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  const std::string line = std::to_string(::getpid()) + "\n";
  const bool wrote = ::write(out, line.data(), line.size()) > 0;
  if (::dup2(out, 0) != 0 || ::close_range(1, ~0u, 0) != 0 || !wrote) ::_exit(1);
  for (int i = 0; i < 500; ++i) {
    if (::write(0, line.data(), line.size()) < 0) ::_exit(1);
    ::usleep(20'000);
  }
});

// Into the namespaces of a process, by their files or by its pidfd, and reads what only it sees.
const Attack kJoin("join-namespaces", [](Arguments arguments) {
  const std::string pid = text_at(arguments, 1);
  if (text_at(arguments, 0) == "pidfd") {
    const long pidfd = ::syscall(SYS_pidfd_open, number_at(arguments, 1), 0);
    if (pidfd < 0) stopped("pidfd_open");
    // EINVAL: it shares the user namespace already.
    if (::setns(static_cast<int>(pidfd), CLONE_NEWUSER | CLONE_NEWNS) != 0 &&
        (errno != EINVAL || ::setns(static_cast<int>(pidfd), CLONE_NEWNS) != 0)) {
      stopped("setns");
    }
  } else {
    for (const char* name : {"/ns/user", "/ns/mnt"}) {
      const int space = ::open(("/proc/" + pid + name).c_str(), O_RDONLY);
      if (space < 0) stopped("/proc/" + pid + name);
      if (::setns(space, 0) != 0 && errno != EINVAL) stopped("setns");
    }
  }
  if (!show_file("/mnt/secret")) stopped("/mnt/secret");
});

// A user namespace, by each call that can make one.
const Attack kNewNamespace("new-namespace", [](Arguments arguments) {
  const std::string how = text_at(arguments, 0);
  long made = -1;
  if (how == "unshare") made = ::unshare(CLONE_NEWUSER);
  if (how == "clone") {
    made = ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  }
  if (how == "clone3") {
    std::array<std::uint64_t, 11> args{};
    args[0] = CLONE_NEWUSER;
    args[4] = SIGCHLD;
    made = ::syscall(SYS_clone3, args.data(), sizeof args);
  }
  if (how == "thread") made = ::unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_FS);
  if (made == 0) through("a user namespace by " + how);
  if (made > 0) {
    ::waitpid(static_cast<pid_t>(made), nullptr, 0);
    return;  // the child said it
  }
  stopped(how);
});

}  // namespace
}  // namespace escape
