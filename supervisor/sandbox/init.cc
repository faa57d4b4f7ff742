// Async-signal-safe: runs in PID 1 between clone and execve. No allocation, no exception, no
// locale.
#include "supervisor/sandbox/init.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "supervisor/sandbox/facade_mount.h"
#include "supervisor/sandbox/init_channel.h"
#include "supervisor/sandbox/keeper.h"
#include "supervisor/sandbox/landlock.h"
#include "supervisor/sandbox/mounts.h"
#include "supervisor/sandbox/network.h"
#include "supervisor/sandbox/privileges.h"
#include "supervisor/sandbox/syscalls.h"

namespace sharkcage::sandbox {
namespace {

constexpr const char* kSocketNames[] = {"127.0.0.1:18800", "[::]:18801", "UDP 127.0.0.1:53",
                                        "127.0.0.1:53"};

class Init {
 public:
  Init(Plan& plan, int channel) : plan_(plan), channel_(channel) {}

  // The recipe of a sandbox.
  [[noreturn]] void run() {
    open_facade();
    wait_for_id_maps();
    become_user();
    die_with_monitor();
    name_host();
    open_network();
    build_file_system();
    close_the_rest();
    give_up_privileges();
    restrict_paths();
    restrict_system_calls();
    report_ready();
    serve();
  }

 private:
  // With the file system rights that the monitor had: as the sandbox's user it could not.
  void open_facade() { facade_ = open_facade_ends(plan_); }

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
    for (const NetworkFd which : {kProxyFd, kCaughtFd, kNamesFd, kNamesStreamFd}) {
      if (!plan_.network && which != kNamesFd) continue;
      const int socket = open_network_socket(which);
      if (socket < 0) fail(InitReport::kListener, kSocketNames[which]);
      InitReport report;
      report.kind = InitReport::kSocket;
      send(report, socket);
      ::close(socket);
    }
  }

  void build_file_system() {
    if (const Failure failure = build_root(plan_, facade_)) {
      errno = failure.error;
      fail(failure.what, failure.path);
    }
    ::umask(022);
    if (plan_.tell_memory) tell_memory();
  }

  // From outside they cannot be reached: what shows the root answers processes inside alone.
  void tell_memory() {
    for (const Step& step : plan_.steps) {
      if (step.kind != Step::Kind::kTmpfs) continue;
      InitReport report;
      report.kind = InitReport::kInMemory;
      const int place = ::open(step.target.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
      if (place < 0) fail(InitReport::kMountTmpfs, step.target.c_str());
      send(report, place);
      ::close(place);
    }
  }

  // What the launcher and the monitor had open, their standard streams too. Before anything looks
  // at a path of the call: /proc/self/fd leads to the host through a directory that is open.
  void close_the_rest() {
    const auto channel = static_cast<unsigned>(channel_);
    if ((channel > 0 && ::close_range(0, channel - 1, 0) != 0) ||
        ::close_range(channel + 1, ~0u, 0) != 0) {
      fail(InitReport::kDescriptors, "");
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
    const int listener = sys::seccomp_set_filter(&program);
    if (listener < 0) fail(InitReport::kSeccomp, "");
    InitReport report;
    report.kind = InitReport::kFiltered;
    send(report, listener);
    ::close(listener);
  }

  void report_ready() {
    InitReport report;
    report.kind = InitReport::kReady;
    send(report, -1);
  }

  // Starts commands as they are ordered, and reaps, until the monitor ends.
  [[noreturn]] void serve() {
    sigset_t child;
    ::sigemptyset(&child);
    ::sigaddset(&child, SIGCHLD);
    children_ = ::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (children_ < 0) fail(InitReport::kCommand, "signalfd");
    look_around();
    for (;;) {
      pollfd events[2] = {{channel_, POLLIN, 0}, {children_, POLLIN, 0}};
      if (::poll(events, 2, -1) < 0) continue;
      if (events[1].revents != 0) reap();
      if (events[0].revents != 0) obey();
    }
  }

  // The kernel asks the facade for each name once, and once whether it wants to hear of opened
  // files. What every program makes it ask is known then before a command waits for it.
  void look_around() {
    static constexpr const char* kNames[] = {"/bin",  "/sbin", "/lib", "/lib64",
                                             "/home", "/root", "/var"};
    for (const char* name : kNames) {
      pollfd order{channel_, POLLIN, 0};
      if (::poll(&order, 1, 0) != 0) return;
      struct stat status {};
      ::stat(name, &status);
    }
    const int loader_cache = ::open("/etc/ld.so.cache", O_RDONLY | O_CLOEXEC);
    if (loader_cache >= 0) ::close(loader_cache);
  }

  // Keepers that have ended, and what a killed one leaves behind.
  void reap() {
    signalfd_siginfo info;
    while (::read(children_, &info, sizeof info) > 0) continue;
    while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) continue;
  }

  void obey() {
    InitOrder order;
    int fds[kRunFds];
    std::size_t count = 0;
    if (!receive_order(channel_, order, fds, count)) ::_exit(1);
    if (order.kind == InitOrder::kKeep && count == 1) {
      if (order.value != 0) Keeper(plan_, fds[0], children_, channel_).run();
      start_keeper(fds[0]);
    }
    for (std::size_t i = 0; i < count; ++i) ::close(fds[i]);
  }

  // A copy of this process, so that no command of this sandbox can look into it either.
  void start_keeper(int channel) {
    const pid_t keeper = ::fork();
    if (keeper == 0) {
      ::close(channel_);
      Keeper(plan_, channel, children_, -1).run();
    }
    if (keeper > 0) return;
    InitReport report;
    report.kind = InitReport::kFailed;
    report.what = InitReport::kCommand;
    report.error = errno;
    std::strcpy(report.text, "fork");
    send_report(channel, report);
  }

  [[noreturn]] void fail(InitReport::What what, const char* text) {
    InitReport report;
    report.kind = InitReport::kFailed;
    report.what = what;
    report.error = errno;
    std::strncpy(report.text, text, sizeof report.text - 1);
    send(report, -1);
    ::_exit(1);
  }

  // The monitor is gone: so is the sandbox.
  void send(const InitReport& report, int fd) {
    if (!send_report(channel_, report, fd)) ::_exit(1);
  }

  Plan& plan_;
  const int channel_;
  FacadeEnds facade_;
  int children_ = -1;
};

}  // namespace

void run_init(Plan& plan, int channel) {
  Init(plan, channel).run();
}

}  // namespace sharkcage::sandbox
