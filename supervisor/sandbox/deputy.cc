#include "supervisor/sandbox/deputy.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include "common/errors.h"
#include "supervisor/sandbox/answer.h"
#include "supervisor/sandbox/catcher.h"
#include "supervisor/sandbox/deputy_confine.h"
#include "supervisor/sandbox/deputy_rules.h"
#include "supervisor/sandbox/file_calls.h"
#include "supervisor/sandbox/names_lock.h"
#include "supervisor/sandbox/notify.h"
#include "supervisor/sandbox/path_view.h"
#include "supervisor/sandbox/patience.h"
#include "supervisor/sandbox/privileges.h"
#include "supervisor/sandbox/program_gate.h"
#include "supervisor/sandbox/recorder.h"
#include "supervisor/sandbox/seccomp.h"
#include "supervisor/sandbox/socket_calls.h"
#include "supervisor/sandbox/task.h"
#include "supervisor/sandbox/watched_calls.h"

namespace sharkcage::sandbox {
namespace {

// How long until a call that could not be carried out is judged again.
constexpr std::chrono::milliseconds kRetry{5};
constexpr std::size_t kMaxWaiting = 4096;

using Clock = std::chrono::steady_clock;

class Deputy {
 public:
  Deputy(const Spec& spec, const Plan& plan, NamespaceFds namespaces, UniqueFd listener,
         UniqueFd link, int names_lock, RefusalCounter& counter, int channel)
      : plan_(plan),
        namespaces_(std::move(namespaces)),
        listener_(std::move(listener)),
        counter_(counter),
        recorder_(counter),
        rules_(spec, plan),
        catcher_(spec.policy, plan.network, std::move(link)),
        gate_(spec.policy.network_rule),
        names_lock_(names_lock),
        channel_(channel) {}

  void run() {
    keep_host_proc();
    join();
    confine();
    serve();
  }

 private:
  // Of the pid namespace that we stay in: there the tasks have the numbers that the listener tells.
  void keep_host_proc() {
    proc_.reset(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!proc_) throw_errno("open", "/proc");
    self_.reset(::openat(proc_.get(), "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!self_) throw_errno("open", "/proc/self/fd");
    // The locks of one that is forked are its parent's.
    const std::string shared = std::to_string(names_lock_.get());
    UniqueFd own(::openat(self_.get(), shared.c_str(), O_RDWR | O_CLOEXEC));
    if (!own) throw_errno("open", "the lock of names");
    names_lock_.reset();
    lock_.emplace(std::move(own));
    view_.emplace(self_.get(), *lock_);
    files_.emplace(rules_, *view_, listener_, recorder_);
    watched_.emplace(*view_, recorder_);
    sockets_.emplace(rules_, catcher_, gate_, *view_, listener_, recorder_);
    // No terminal of the supervisor's: /dev/tty is the command's.
    ::setsid();
  }

  void join() {
    if (::setns(namespaces_.user.get(), CLONE_NEWUSER) != 0) throw_errno("setns", "user");
    if (::setns(namespaces_.mount.get(), CLONE_NEWNS) != 0) throw_errno("setns", "mount");
    namespaces_ = {};
    if (become_sandbox_user(plan_) != 0) throw_errno("setresuid");
    leave_out_private_places();
  }

  // The sandbox's own file systems, in which no other deputy has anything to do.
  void leave_out_private_places() {
    for (const std::string& place : {std::string("/tmp"), std::string("/dev"), rules_.home}) {
      struct stat status {};
      if (place.empty() || ::stat(place.c_str(), &status) != 0) continue;
      if (!rules_.shared_devices.contains(status.st_dev)) lock_->leave_out(status.st_dev);
    }
  }

  // CAP_SYS_PTRACE of the sandbox's user namespace, to look at its processes. No Landlock: a domain
  // may look into no other that is not below it (landlock(7), "Ptrace restrictions"), and that of
  // the commands cannot be.
  void confine() {
    // The change of user namespace has cleared it (prctl(2)).
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) throw_errno("prctl");
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) throw_errno("prctl");
    if (drop_privileges_but({CAP_SYS_PTRACE, CAP_NET_ADMIN}) != 0) throw_errno("capset");
    for (const RlimitRule& rule : plan_.rlimits) {
      if (rule.resource != RLIMIT_FSIZE) continue;
      const rlimit limit{rule.value, rule.value};
      if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) throw_errno("setrlimit");
    }
    Patience::prepare();
    // Where a descriptor has a name, which connect(2) needs for a Unix socket.
    if (::fchdir(self_.get()) != 0) throw_errno("fchdir", "/proc/self/fd");
    confine_deputy();
  }

  // Until the monitor ends, or ends us.
  void serve() {
    bool sandbox = true;
    for (;;) {
      std::array<pollfd, 3> events{{{channel_, POLLIN, 0},
                                    {sandbox ? listener_.fd() : -1, POLLIN, 0},
                                    {catcher_.link(), POLLIN, 0}}};
      const int ready = ::poll(events.data(), events.size(), milliseconds_left());
      if (ready < 0 && errno != EINTR) throw_errno("poll");
      if (events[2].revents != 0) catcher_.hear_egress();
      if (events[1].revents & POLLIN) {
        Notification notification;
        if (listener_.receive(notification)) attend(notification);
      } else if (events[1].revents != 0) {
        sandbox = false;  // nobody is left; what was refused is still asked for
      }
      if (events[0].revents != 0 && !hear_monitor()) return;
      if (!waiting_.empty() && milliseconds_left() == 0 && !try_again()) return;
    }
  }

  // -1 as long as nothing waits.
  int milliseconds_left() const {
    if (waiting_.empty()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_try_ - Clock::now());
    return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, kRetry.count()));
  }

  bool hear_monitor() {
    char order[16];
    const ssize_t size = ::recv(channel_, order, sizeof order, MSG_DONTWAIT);
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) return false;
    if (size > 0 && std::string_view(order, static_cast<std::size_t>(size)) == kCollect) {
      answer_collect(channel_, recorder_.table());
    }
    return true;
  }

  void attend(const Notification& notification) {
    const RefusalCounter::Busy busy(counter_);
    const bool settled = settle(notification);
    catcher_.announce();
    if (settled) return;
    if (waiting_.empty()) next_try_ = Clock::now() + kRetry;
    waiting_.push_back(notification);
  }

  // Each of many may take a moment, and the monitor asks with a limit of time. False when it ends.
  bool try_again() {
    std::vector<Notification> waiting;
    std::swap(waiting, waiting_);
    for (const Notification& notification : waiting) {
      if (listener_.valid(notification)) attend(notification);
      if (!hear_monitor()) return false;
    }
    next_try_ = Clock::now() + kRetry;
    return true;
  }

  // False when it has to wait.
  bool settle(const Notification& notification) {
    Answer answer = judge(notification);
    recorder_.finish();
    switch (answer.kind) {
      case Answer::Kind::kValue:
        listener_.answer(notification, answer.value);
        return true;
      case Answer::Kind::kError:
        listener_.refuse(notification, answer.error);
        return true;
      case Answer::Kind::kDescriptor:
        hand_over(notification, std::move(answer));
        return true;
      case Answer::Kind::kContinue:
        listener_.let_continue(notification);
        return true;
      case Answer::Kind::kLater:
        if (waiting_.size() < kMaxWaiting) return false;
        listener_.refuse(notification, ENOMEM);
        return true;
    }
    return true;
  }

  void hand_over(const Notification& notification, Answer answer) {
    const int error =
        listener_.give(notification, std::move(answer.fd), answer.close_on_exec, answer.at_once);
    if (error == 0) return;
    if (error == EMFILE) recorder_.add(Task(proc_.get(), notification.tid), "limit", "open files");
    recorder_.finish();
    listener_.refuse(notification, error);
  }

  Answer judge(const Notification& notification) {
    const Task task(proc_.get(), notification.tid);
    if (auto answer = files_->answer(notification, task)) return std::move(*answer);
    if (auto answer = watched_->answer(notification, task)) return std::move(*answer);
    if (auto answer = sockets_->answer(notification, task)) return std::move(*answer);
    return refuse_call(notification, task);
  }

  Answer refuse_call(const Notification& notification, const Task& task) {
    recorder_.add(task, "system call", call_name(notification.call));
    return Answer::refused(error_of_refused(notification.call, notification.args));
  }

  const Plan& plan_;
  NamespaceFds namespaces_;
  UniqueFd proc_;
  UniqueFd self_;
  Listener listener_;
  RefusalCounter& counter_;
  Recorder recorder_;
  const DeputyRules rules_;
  Catcher catcher_;
  const ProgramGate gate_;
  UniqueFd names_lock_;  // as it came
  std::optional<NamesLock> lock_;
  std::optional<PathView> view_;
  std::optional<FileCalls> files_;
  std::optional<WatchedCalls> watched_;
  std::optional<SocketCalls> sockets_;
  const int channel_;
  std::vector<Notification> waiting_;
  Clock::time_point next_try_;  // if any waits
};

UniqueFd open_namespace(pid_t init, const char* kind) {
  const std::string path = "/proc/" + std::to_string(init) + "/ns/" + kind;
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw_errno("open", path);
  return fd;
}

}  // namespace

NamespaceFds open_namespaces(pid_t init) {
  return {open_namespace(init, "user"), open_namespace(init, "mnt")};
}

Attendant start_deputy(const Spec& spec, const Plan& plan, NamespaceFds namespaces,
                       UniqueFd listener, UniqueFd link, int names_lock, RefusalCounter& counter) {
  const std::array keep = {
      namespaces.user.get(), namespaces.mount.get(), listener.get(), link.get(), names_lock,
      counter.alarm()};
  return Attendant::start("sc-deputy", keep, [&](int channel) {
    Deputy(spec, plan, std::move(namespaces), std::move(listener), std::move(link), names_lock,
           counter, channel)
        .run();
  });
}

}  // namespace sharkcage::sandbox
