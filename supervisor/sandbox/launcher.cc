#include "supervisor/sandbox/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <string>

#include "common/errors.h"
#include "common/json.h"
#include "supervisor/sandbox/cgroup.h"
#include "supervisor/sandbox/facade_mount.h"
#include "supervisor/sandbox/landlock.h"
#include "supervisor/sandbox/monitor.h"
#include "supervisor/sandbox/names_lock.h"
#include "supervisor/sandbox/seccomp.h"
#include "supervisor/sandbox/spec.h"
#include "supervisor/sandbox/weakened.h"

namespace sharkcage::sandbox {
namespace {

class Launcher {
 public:
  explicit Launcher(int socket) : socket_(socket) {
    std::tie(lifeline_, life_) = make_pipe();
    reset_signals();
    block_signals();
    raise_descriptor_limit();
    make_room_for_groups();
    remove_stale_groups();
    prepared_.filter_any = build_filter(true);
    prepared_.filter_scoped = build_filter(false);
    prepared_.landlock_abi = landlock_abi();
    prepared_.facade = facade_possible() && !weakened::leaves_out(weakened::Layer::kRecording);
    prepared_.names_lock = make_names_lock();
    prepared_.system.refresh();
  }

  int serve() {
    for (;;) {
      pollfd events[2] = {{socket_.get(), POLLIN, 0}, {children_.get(), POLLIN, 0}};
      if (::poll(events, 2, -1) < 0) continue;
      if (events[1].revents != 0) reap_monitors();
      if (events[0].revents != 0 && !receive()) return 0;
    }
  }

 private:
  // What a service manager or the supervisor ignores (SIGPIPE) would be ignored by every command.
  static void reset_signals() {
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  }

  // For good: neither a terminal's signals nor a stray one ends the launcher, its socket does. The
  // monitors and PID 1 inherit this; a command gets its own clean mask.
  void block_signals() {
    sigset_t all;
    ::sigfillset(&all);
    if (::sigprocmask(SIG_SETMASK, &all, nullptr) != 0) throw_errno("sigprocmask");
    sigset_t child;
    ::sigemptyset(&child);
    ::sigaddset(&child, SIGCHLD);
    children_.reset(::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!children_) throw_errno("signalfd");
  }

  // A monitor holds a descriptor a mount for a moment.
  static void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }

  // False at the end of the supervisor.
  bool receive() {
    char text[64];
    std::vector<UniqueFd> fds;
    const ssize_t size = recv_with_fds(socket_.get(), text, sizeof text, fds);
    if (size == 0 || (size < 0 && errno != EMSGSIZE)) return false;
    if (size > 0 && fds.size() == 2) {
      const bool scoped = std::string_view(text, static_cast<std::size_t>(size)) == kLaunchScoped;
      launch(std::move(fds[kSpecFd]), std::move(fds[kControlFd]), scoped);
    }
    return true;
  }

  void launch(UniqueFd spec, UniqueFd control, bool scoped) {
    try {
      prepared_.system.refresh();
      if (scoped) prepared_.layout.refresh();
      const pid_t parent = ::getpid();
      const pid_t monitor = ::fork();
      if (monitor < 0) throw_errno("fork", "a monitor");
      if (monitor > 0) return;
      ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
      if (::getppid() != parent) ::_exit(1);
      socket_.reset();
      life_.reset();
      children_.reset();
      run_monitor({std::move(spec), std::move(control), std::move(lifeline_)}, prepared_,
                  group_name(pid_, ::getpid()));
    } catch (const std::exception& error) {
      const Json event = {
          {"event", "failed"}, {"what", error.what()}, {"errno", errno}, {"remedy", ""}};
      send_with_fds(control.get(), dump_json(event), {});
    }
  }

  void reap_monitors() {
    signalfd_siginfo info;
    while (::read(children_.get(), &info, sizeof info) > 0) continue;
    for (;;) {
      int status = 0;
      const pid_t monitor = ::waitpid(-1, &status, WNOHANG);
      if (monitor <= 0) return;
      // One that was killed could not remove its control groups.
      if (WIFSIGNALED(status)) remove_stale_groups();
    }
  }

  const pid_t pid_ = ::getpid();
  UniqueFd socket_;
  UniqueFd children_;
  UniqueFd lifeline_;  // read end: monitors inherit it
  UniqueFd life_;      // write end: held here alone
  Prepared prepared_;
};

}  // namespace

int run_launcher(int socket) {
  return Launcher(socket).serve();
}

}  // namespace sharkcage::sandbox
