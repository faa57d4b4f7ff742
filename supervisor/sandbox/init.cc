// Async-signal-safe: runs in PID 1 between clone and execve. No allocation, no exception, no
// locale.
#include "supervisor/sandbox/init.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "supervisor/sandbox/init_channel.h"
#include "supervisor/sandbox/landlock.h"
#include "supervisor/sandbox/mounts.h"
#include "supervisor/sandbox/network.h"
#include "supervisor/sandbox/privileges.h"
#include "supervisor/sandbox/syscalls.h"

namespace sharkcage::sandbox {
namespace {

constexpr int kNotFound = 127;
constexpr int kNotExecutable = 126;

class Init {
 public:
  Init(Plan& plan, int channel) : plan_(plan), channel_(channel) {}

  // The recipe of a sandbox.
  [[noreturn]] void run() {
    wait_for_id_maps();
    become_user();
    die_with_monitor();
    name_host();
    open_network();
    build_file_system();
    open_terminal();
    close_the_rest();
    enter_workdir();
    give_up_privileges();
    restrict_paths();
    restrict_system_calls();
    report_ready();
    serve();
  }

 private:
  void wait_for_id_maps() {
    InitOrder order;
    if (::recv(channel_, &order, sizeof order, 0) != sizeof order) ::_exit(1);
  }

  void become_user() {
    if (become_sandbox_user(plan_) != 0) fail(InitReport::kIdentity, "");
    // Commands have the same uid: without this, they could open /proc/1/mem.
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) fail(InitReport::kIdentity, "");
  }

  // After the change of ids, which clears it (prctl(2)). A monitor that died before is seen by the
  // end of file of the channel.
  void die_with_monitor() {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) fail(InitReport::kPrivileges, "");
    pollfd monitor{channel_, POLLIN, 0};
    if (::poll(&monitor, 1, 0) == 1 && (monitor.revents & POLLHUP) != 0) ::_exit(1);
    ::setsid();
    ::umask(0);
  }

  void name_host() {
    if (::sethostname("sharkcage", 9) != 0) fail(InitReport::kHostname, "");
  }

  void open_network() {
    if (bring_up_loopback() != 0) fail(InitReport::kLoopback, "lo");
    if (!plan_.network) return;
    listener_ = listen_for_proxy();
    if (listener_ < 0) fail(InitReport::kListener, "127.0.0.1:18800");
  }

  void build_file_system() {
    if (const Failure failure = build_root(plan_)) {
      errno = failure.error;
      fail(failure.what, failure.path);
    }
    ::umask(022);
  }

  void open_terminal() {
    if (!plan_.terminal) return;
    master_ = ::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    int unlock = 0;
    if (master_ < 0 || ::ioctl(master_, TIOCSPTLCK, &unlock) != 0) {
      fail(InitReport::kTerminal, "/dev/ptmx");
    }
    slave_ = ::ioctl(master_, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    winsize size{};
    size.ws_row = plan_.rows;
    size.ws_col = plan_.columns;
    if (slave_ < 0 || ::ioctl(master_, TIOCSWINSZ, &size) != 0) {
      fail(InitReport::kTerminal, "/dev/ptmx");
    }
  }

  void enter_workdir() {
    if (::chdir(plan_.workdir.c_str()) != 0) fail(InitReport::kWorkdir, plan_.workdir.c_str());
  }

  // What the launcher and the monitor had open, their standard streams too. Before anything looks
  // at a path of the call: /proc/self/fd leads to the host through a directory that is open.
  void close_the_rest() {
    unsigned next = 0;
    for (;;) {
      unsigned keep = ~0u;
      for (const int fd : {channel_, listener_, master_, slave_}) {
        if (fd >= 0 && static_cast<unsigned>(fd) >= next && static_cast<unsigned>(fd) < keep) {
          keep = static_cast<unsigned>(fd);
        }
      }
      if (keep > next && ::close_range(next, keep - (keep == ~0u ? 0 : 1), 0) != 0) {
        fail(InitReport::kDescriptors, "");
      }
      if (keep == ~0u) return;
      next = keep + 1;
    }
  }

  void give_up_privileges() {
    if (drop_privileges() != 0) fail(InitReport::kPrivileges, "");
  }

  void restrict_paths() {
    if (const char* path = enforce_landlock(plan_)) fail(InitReport::kLandlock, path);
  }

  void restrict_system_calls() {
    sock_fprog program{};
    program.len = static_cast<unsigned short>(plan_.filter->size());
    program.filter = const_cast<sock_filter*>(plan_.filter->data());
    if (sys::seccomp_set_filter(&program) != 0) fail(InitReport::kSeccomp, "");
  }

  void report_ready() {
    InitReport report;
    report.kind = InitReport::kReady;
    int fds[2];
    std::size_t count = 0;
    if (listener_ >= 0) fds[count++] = listener_;
    if (master_ >= 0) fds[count++] = master_;
    send(report, fds, count);
    if (listener_ >= 0) ::close(listener_);
    if (master_ >= 0) ::close(master_);
  }

  // Reaps, and carries out orders, until the command has ended. The end of PID 1 is the end of
  // every process of its namespace (pid_namespaces(7)).
  [[noreturn]] void serve() {
    sigset_t child;
    ::sigemptyset(&child);
    ::sigaddset(&child, SIGCHLD);
    const int children = ::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (children < 0) fail(InitReport::kCommand, "signalfd");
    for (;;) {
      pollfd events[2] = {{channel_, POLLIN, 0}, {children, POLLIN, 0}};
      if (::poll(events, 2, -1) < 0) continue;
      if (events[1].revents != 0) {
        signalfd_siginfo info;
        while (::read(children, &info, sizeof info) > 0) continue;
        reap();
      }
      if (events[0].revents != 0) obey();
    }
  }

  void obey() {
    InitOrder order;
    int fds[3] = {-1, -1, -1};
    if (!receive(order, fds)) ::_exit(1);
    switch (order.kind) {
      case InitOrder::kBegin:
        break;
      case InitOrder::kStdio:
        if (command_ == 0) start(fds);
        break;
      case InitOrder::kSignal:
        if (command_ > 0) ::kill(-command_, order.value);
        break;
    }
    for (const int fd : fds) {
      if (fd >= 0) ::close(fd);
    }
  }

  void start(const int (&fds)[3]) {
    int stdio[3];
    for (int i = 0; i < 3; ++i) stdio[i] = plan_.terminal ? slave_ : fds[i];
    if (stdio[0] < 0 || stdio[1] < 0 || stdio[2] < 0) {
      errno = EBADF;
      fail(InitReport::kCommand, "standard input, output and error");
    }
    executed_ = true;
    command_ = spawn(stdio);
    if (command_ < 0) fail(InitReport::kCommand, "fork");
    if (slave_ >= 0) ::close(slave_);
    if (!executed_) return;
    InitReport report;
    report.kind = InitReport::kStarted;
    send(report, nullptr, 0);
  }

  // vfork: nothing of this process is copied, and its return tells that the command was executed,
  // or that `executed_`, which the child shares, says why not.
  [[gnu::noinline]] pid_t spawn(const int (&stdio)[3]) {
    const pid_t child = ::vfork();
    if (child == 0) become_command(stdio);
    return child;
  }

  [[noreturn]] void become_command(const int (&stdio)[3]) {
    ::setsid();
    if (plan_.terminal) ::ioctl(stdio[0], TIOCSCTTY, 0);
    place(stdio);
    if (::close_range(3, ~0u, 0) != 0) {
      executed_ = false;
      ::_exit(kNotExecutable);
    }
    for (const RlimitRule& rule : plan_.rlimits) lower_limit(rule);
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    const int status = execute();
    executed_ = false;
    ::_exit(status);
  }

  // To 0, 1, 2, though each may already be one of them.
  static void place(const int (&stdio)[3]) {
    int high[3];
    for (int i = 0; i < 3; ++i) high[i] = ::fcntl(stdio[i], F_DUPFD, 10);
    for (int i = 0; i < 3; ++i) {
      if (::dup2(high[i], i) < 0) ::_exit(kNotExecutable);
    }
  }

  static void lower_limit(const RlimitRule& rule) {
    rlimit limit{};
    const auto resource = static_cast<__rlimit_resource_t>(rule.resource);
    if (::getrlimit(resource, &limit) != 0) return;
    limit.rlim_max = limit.rlim_max < rule.value ? limit.rlim_max : rule.value;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(resource, &limit);
  }

  // The search of execvp(3). Returns the exit status of a shell that could not execute it.
  int execute() {
    int error = ENOENT;
    for (const std::string& candidate : plan_.candidates) {
      ::execve(candidate.c_str(), plan_.argv.data(), plan_.environment.data());
      if (errno == ENOEXEC) {
        // A script without "#!" belongs to the shell (POSIX, exec).
        plan_.script_argv[1] = const_cast<char*>(candidate.c_str());
        ::execve("/bin/sh", plan_.script_argv.data(), plan_.environment.data());
      }
      if (errno == ENOENT || errno == ENOTDIR) continue;
      error = errno;
      if (error != EACCES) break;
    }
    explain(error);
    return error == ENOENT ? kNotFound : kNotExecutable;
  }

  void explain(int error) {
    say("sharkcage: ");
    say(plan_.argv[0]);
    if (error == ENOENT) {
      say(plan_.exec_any ? ": no such program in the sandbox\n"
                         : ": no such program in the sandbox, or it is not approved\n");
    } else if (error == EACCES) {
      say(plan_.exec_any ? ": not executable\n" : ": not executable, or not approved\n");
    } else {
      say(": cannot be executed\n");
    }
  }

  static void say(const char* text) {
    if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) return;
  }

  void reap() {
    for (;;) {
      int status = 0;
      const pid_t pid = ::waitpid(-1, &status, WNOHANG | __WALL);
      if (pid <= 0) return;
      if (pid == command_) finish(status);
    }
  }

  [[noreturn]] void finish(int status) {
    rusage usage{};
    ::getrusage(RUSAGE_CHILDREN, &usage);
    const auto microseconds = [](const timeval& time) {
      return static_cast<std::uint64_t>(time.tv_sec) * 1000000u +
             static_cast<std::uint64_t>(time.tv_usec);
    };
    InitReport report;
    report.kind = InitReport::kReturned;
    report.value = status;
    report.cpu_us = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
    report.max_rss = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
    send(report, nullptr, 0);
    ::_exit(0);
  }

  [[noreturn]] void fail(InitReport::What what, const char* text) {
    InitReport report;
    report.kind = InitReport::kFailed;
    report.what = what;
    report.error = errno;
    std::strncpy(report.text, text, sizeof report.text - 1);
    send(report, nullptr, 0);
    ::_exit(1);
  }

  void send(const InitReport& report, const int* fds, std::size_t count) {
    iovec part{const_cast<InitReport*>(&report), sizeof report};
    alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (count > 0) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(count * sizeof(int));
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(count * sizeof(int));
      std::memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    }
    // The monitor is gone: so is the sandbox.
    if (::sendmsg(channel_, &message, MSG_NOSIGNAL) != sizeof report) ::_exit(1);
  }

  bool receive(InitOrder& order, int (&fds)[3]) {
    iovec part{&order, sizeof order};
    alignas(cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (::recvmsg(channel_, &message, MSG_CMSG_CLOEXEC) != sizeof order) return false;
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
      const std::size_t bytes = header->cmsg_len - CMSG_LEN(0);
      std::memcpy(fds, CMSG_DATA(header), bytes < sizeof fds ? bytes : sizeof fds);
    }
    return true;
  }

  Plan& plan_;
  const int channel_;
  int listener_ = -1;
  int master_ = -1;
  int slave_ = -1;
  pid_t command_ = 0;
  volatile bool executed_ = false;
};

}  // namespace

void run_init(Plan& plan, int channel) {
  Init(plan, channel).run();
}

}  // namespace sharkcage::sandbox
