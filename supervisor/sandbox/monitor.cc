#include "supervisor/sandbox/monitor.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <iterator>
#include <map>
#include <system_error>
#include <utility>

#include "common/errors.h"
#include "common/json.h"
#include "supervisor/sandbox/attendant.h"
#include "supervisor/sandbox/commands.h"
#include "supervisor/sandbox/deputy.h"
#include "supervisor/sandbox/facade.h"
#include "supervisor/sandbox/failures.h"
#include "supervisor/sandbox/identity.h"
#include "supervisor/sandbox/init.h"
#include "supervisor/sandbox/init_channel.h"
#include "supervisor/sandbox/limit_watch.h"
#include "supervisor/sandbox/make_plan.h"
#include "supervisor/sandbox/mounts.h"
#include "supervisor/sandbox/seccomp.h"
#include "supervisor/sandbox/syscalls.h"
#include "supervisor/sandbox/weakened.h"

namespace sharkcage::sandbox {
namespace {

// Why a call was ended (exec.exit of the protocol): by no fault and no wish of its own.
constexpr const char* kSupervisor = "supervisor";
constexpr const char* kDeputyHangs =
    "the process that decides about its system calls waits for a file system that does not answer";
constexpr const char* kNotEnded =
    "a process waits for a file system that does not answer, and ends when that does";

// How long the deputy may be at one system call.
constexpr std::chrono::seconds kPatience{3};

// How long the processes of a sandbox may take to end when they are killed.
constexpr int kEndPatienceMs = 5000;
constexpr std::size_t kMaxSpec = 64u << 20;
constexpr std::size_t kMaxOrder = 4096;
std::uint64_t namespaces() {
  std::uint64_t flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                        CLONE_NEWUTS | CLONE_NEWCGROUP;
  using weakened::Layer;
  if (weakened::leaves_out(Layer::kNetwork)) flags &= ~std::uint64_t{CLONE_NEWNET};
  if (weakened::leaves_out(Layer::kProcesses)) flags &= ~std::uint64_t{CLONE_NEWPID};
  if (weakened::leaves_out(Layer::kIpc)) flags &= ~std::uint64_t{CLONE_NEWIPC};
  return flags;
}

UniqueFd make_alarm() {
  UniqueFd alarm(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!alarm) throw_errno("eventfd");
  return alarm;
}

class Monitor {
 public:
  Monitor(MonitorFds& fds, const Prepared& prepared, const std::string& group)
      : fds_(fds),
        prepared_(prepared),
        group_name_(group),
        commands_({[this](const Json& event, const std::vector<UniqueFd>& passed) {
                     tell(event, passed);
                   },
                   [this](const std::string& reason) { kill_init(reason); },
                   [this] { return collect_refused(); }, [this] { return arm_refusals(); }}) {}

  // The story of a sandbox from outside. Throws Failed, UserError, system_error before it runs.
  void run() {
    give_way();
    read_spec();
    LimitWatch limits(group_name_, spec_.policy.limits);
    limits_ = &limits;
    commands_.hold_to(limits, spec_.policy.limits.output);
    plan_ = make_plan(spec_, prepared_);
    plan_.tell_memory = !limits.group().has(kMemory);
    plan_.tell_processes = !limits.group().has(kPids);
    if (limits.fixes_processors()) {
      filter_ = with_fixed_processors(*plan_.filter);
      plan_.filter = &filter_;
    }
    if (spec_.identity.privileged()) open_mounts();
    try {
      limits.group().enter();
      start_facade(limits.group().fd());
      clone_init(limits.group().fd());
      limits.group().leave();
      limits.begin(init_, facade_.pid());
      write_id_maps(init_, spec_.identity);
      namespaces_ = open_namespaces(init_);
      order_init({InitOrder::kBegin, 0}, {});
      watch();
    } catch (...) {
      end_init();
      throw;
    }
    end_init();
    if (!ready_) throw Failed("the sandbox was ended before it was complete", 0, reason_);
    commands_.close(reason_, usage_);
    relay_rest();
  }

 private:
  void read_spec() {
    spec_ = decode_spec(read_fd(fds_.spec.get(), kMaxSpec, "the sandbox's spec"));
    fds_.spec.reset();
    const bool root = ::geteuid() == 0;
    // Fail closed: commands never run as the host's root, and ids are not taken without privilege.
    if (root != spec_.identity.privileged() || spec_.identity.host_uid == spec_.identity.uid) {
      throw UserError(root ? "a privileged supervisor must name an unallocated uid for the sandbox"
                           : "only a privileged supervisor can run commands under another uid");
    }
  }

  // Woken by what a command does, this process does not take the processor from it in the middle:
  // then it has several things to do at once (sched(7), SCHED_BATCH). Of this process alone. That
  // it cannot be set does no harm.
  static void give_way() {
    const sched_param none{};
    ::sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &none);
  }

  // What PID 1 could not open as the unallocated user: every mount from the host. What the policy
  // grants keeps its owner on disk and belongs to the command inside.
  void open_mounts() {
    for (Step& step : plan_.steps) {
      if (step.kind != Step::Kind::kBind) continue;
      const int user_namespace = step.judged ? idmap_for(step) : -1;
      Failure failure;
      step.detached = clone_tree(step, user_namespace, failure);
      if (step.detached < 0) throw Failed(failure);
    }
  }

  // The person's files become the command's own. A skill's content belongs to whoever keeps the
  // store.
  int idmap_for(const Step& step) {
    uid_t uid = spec_.identity.uid;
    gid_t gid = spec_.identity.gid;
    for (const JudgedPath& path : spec_.paths) {
      struct stat status {};
      if (path.skill && path.source == step.source && ::lstat(path.source.c_str(), &status) == 0) {
        uid = status.st_uid;
        gid = status.st_gid;
      }
    }
    UniqueFd& user_namespace = idmaps_[{uid, gid}];
    if (!user_namespace) user_namespace = make_idmap(uid, gid, spec_.identity.host_uid);
    return user_namespace.get();
  }

  // In the sandbox's control groups: what the home holds is the facade's memory.
  void start_facade(int group) {
    if (!prepared_.facade || weakened::leaves_out(weakened::Layer::kView)) return;
    auto [ours, theirs] = make_socketpair(SOCK_SEQPACKET);
    const int keep[] = {theirs.get(), missed_.alarm()};
    facade_ = Attendant::start(
        "sc-facade", keep,
        [&, link = &theirs](int channel) { run_facade(plan_, missed_, std::move(*link), channel); },
        group);
    facade_link_ = std::move(ours);
    plan_.facade_link = facade_link_.get();
  }

  void clone_init(int group) {
    auto [ours, theirs] = make_socketpair(SOCK_SEQPACKET);
    int pidfd = -1;
    clone_args args{};
    args.flags = namespaces() | CLONE_PIDFD;
    args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
    args.exit_signal = SIGCHLD;
    if (group >= 0) {
      args.flags |= CLONE_INTO_CGROUP;
      args.cgroup = static_cast<std::uint64_t>(group);
    }
    const pid_t init = sys::clone3(args);
    if (init < 0) {
      const int error = errno;  // finding the remedy reads files
      throw Failed("clone3", error, namespaces_remedy(error));
    }
    if (init == 0) {
      ::close(ours.get());
      ::close(fds_.control.get());
      run_init(plan_, theirs.get());
    }
    init_ = init;
    pidfd_.reset(pidfd);
    channel_ = std::move(ours);
    commands_.attach(channel_.get());
    facade_link_.reset();
    for (Step& step : plan_.steps) {
      if (step.detached >= 0) ::close(step.detached);
    }
    idmaps_.clear();
  }

  void order_init(const InitOrder& order, std::span<const int> fds) {
    // PID 1 that is gone is told by its pidfd.
    send_with_fds(channel_.get(), {reinterpret_cast<const char*>(&order), sizeof order}, fds);
  }

  // Until PID 1, and with it every process of the sandbox, is gone or killed for good.
  void watch() {
    for (;;) {
      std::vector<pollfd> events = {
          {channel_.get(), POLLIN, 0},     {pidfd_.get(), POLLIN, 0},
          {fds_.control.get(), POLLIN, 0}, {fds_.lifeline.get(), POLLIN, 0},
          {deputy_.pidfd(), POLLIN, 0},    {facade_.pidfd(), POLLIN, 0},
          {alarm_.get(), POLLIN, 0}};
      commands_.add_to(events);
      limits_->add_to(events);
      if (::poll(events.data(), events.size(), killed_ ? 0 : milliseconds_left()) < 0) {
        if (errno != EINTR) throw_errno("poll");
        continue;
      }
      // "ready" was sent before anything that a keeper says, but may have come after poll looked.
      if (events[0].revents != 0 || !ready_) hear_init();
      commands_.hear(events);
      if (events[1].revents != 0 || killed_) {
        // What PID 1 said before its end counts, and may have come since this poll began.
        while (hear_init()) continue;
        return;
      }
      if (events[2].revents != 0) obey();
      if (events[3].revents != 0) kill_init(kSupervisor);
      if (events[4].revents != 0) {
        deputy_.stop();
        kill_init("the process that decides about its system calls has ended");
      }
      if (events[5].revents != 0) {
        facade_.stop();
        // It is in the sandbox's memory group, since it holds the sandbox's files.
        kill_init(limits_->ran_out_of_memory() ? kMemory
                                               : "the process that serves its home has ended");
      }
      if (events[6].revents != 0) hear_alarm();
      commands_.keep_time();
      if (const auto reason = limits_->look(events)) kill_init(*reason);
    }
  }

  // -1 as long as nothing is to be done at a time.
  int milliseconds_left() const {
    const int limits = limits_->milliseconds_left(commands_.busy());
    const int commands = commands_.milliseconds_left();
    return limits < 0 || commands < 0 ? std::max(limits, commands) : std::min(limits, commands);
  }

  // Everything of the sandbox is gone. What its commands wrote before is still on its way.
  void relay_rest() {
    while (commands_.relaying()) {
      std::vector<pollfd> events = {{fds_.control.get(), POLLIN, 0},
                                    {fds_.lifeline.get(), POLLIN, 0}};
      commands_.add_to(events);
      if (::poll(events.data(), events.size(), commands_.milliseconds_left()) < 0) {
        if (errno != EINTR) throw_errno("poll");
        continue;
      }
      commands_.hear(events);
      if (events[1].revents != 0 || (events[0].revents != 0 && !is_signal_order())) {
        commands_.drop_output();
      }
      commands_.keep_time();
    }
  }

  // Of the orders that may still come, the only one that does not end the call.
  bool is_signal_order() {
    std::string text(kMaxOrder, '\0');
    std::vector<UniqueFd> fds;
    const ssize_t size =
        recv_with_fds(fds_.control.get(), text.data(), text.size(), fds, MSG_DONTWAIT);
    if (size <= 0) return size < 0 && errno == EAGAIN;
    text.resize(static_cast<std::size_t>(size));
    const Json order = Json::parse(text, nullptr, false);
    return order.is_object() && order.value("order", "") == "signal";
  }

  // False when PID 1 has said nothing more.
  bool hear_init() {
    InitReport report;
    std::vector<UniqueFd> fds;
    const ssize_t size = recv_with_fds(channel_.get(), reinterpret_cast<char*>(&report),
                                       sizeof report, fds, MSG_DONTWAIT);
    // Until PID 1 is reaped, poll would report the end of file again and again.
    if (size == 0) channel_.reset();
    if (size != sizeof report) return false;
    if (report.kind == InitReport::kInMemory) {
      for (UniqueFd& place : fds) limits_->add_file_system(std::move(place));
    } else if (report.kind == InitReport::kFiltered) {
      if (fds.size() != 1) throw Failed("the sandbox has no listener for system calls", 0, "");
      begin_deputy(std::move(fds[0]));
    } else if (report.kind == InitReport::kSocket) {
      std::move(fds.begin(), fds.end(), std::back_inserter(network_));
    } else if (report.kind == InitReport::kReady) {
      ready_ = true;
      tell({{"event", "ready"}, {"pid", init_}, {"controllers", limits_->holders()}},
           std::exchange(network_, {}));
    } else if (report.kind == InitReport::kFailed) {
      report.text[sizeof report.text - 1] = '\0';
      throw Failed(Failure{report.what, report.error, report.text});
    }
    return true;
  }

  void begin_deputy(UniqueFd listener) {
    auto [link, theirs] = make_socketpair(SOCK_SEQPACKET);
    network_.push_back(std::move(theirs));  // after the sockets, as NetworkFd has it
    deputy_ = start_deputy(spec_, plan_, std::move(namespaces_), std::move(listener),
                           std::move(link), prepared_.names_lock.get(), refusals_);
  }

  // What was refused since the last time.
  RefusalTable::Taken collect_refused() {
    RefusalTable::Taken all;
    if (deputy_hangs()) throw UserError(kDeputyHangs);
    if (!lost_.empty()) throw UserError(lost_);
    const auto add = [&all](RefusalCounter& counter, std::uint64_t& seen, const Attendant& from) {
      if (counter.value() == seen) return;
      seen = counter.value();
      RefusalTable::Taken taken = collect(from.channel());
      std::move(taken.refusals.begin(), taken.refusals.end(), std::back_inserter(all.refusals));
      all.more += taken.more;
    };
    try {
      add(refusals_, seen_, deputy_);
      add(missed_, seen_missed_, facade_);
    } catch (const std::exception& error) {
      lost_ = error.what();
      throw;
    }
    return all;
  }

  // False when something was refused already that has not been collected.
  bool arm_refusals() {
    refusals_.arm();
    missed_.arm();
    return refusals_.value() == seen_ && missed_.value() == seen_missed_;
  }

  void hear_alarm() {
    std::uint64_t count = 0;
    if (::read(alarm_.get(), &count, sizeof count) == sizeof count) commands_.note_refused();
  }

  // In a call that cannot be interrupted: on a file system that does not answer.
  bool deputy_hangs() const { return refusals_.busy_for() > kPatience; }

  void obey() {
    std::string text(kMaxOrder, '\0');
    std::vector<UniqueFd> fds;
    const ssize_t size =
        recv_with_fds(fds_.control.get(), text.data(), text.size(), fds, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) return kill_init(kSupervisor);
    text.resize(static_cast<std::size_t>(size));
    const Json order = Json::parse(text, nullptr, false);
    const std::string name = order.is_object() ? order.value("order", "") : "";
    const auto id = order.is_object() ? order.value("id", std::uint64_t{0}) : 0;
    if (name == "run") {
      if (deputy_hangs()) return kill_init(kDeputyHangs);
      if (!commands_.run(order, std::move(fds))) kill_init(kSupervisor);
    } else if (name == "signal") {
      commands_.signal(id, order.value("signal", 0));
    } else if (name == "foreground") {
      commands_.foreground(id, order.value("on", false));
    } else if (name == "release") {
      commands_.release(id);
    } else if (name == "cancel") {
      commands_.cancel(id, order.value("reason", ""));
    } else {
      kill_init(name == "kill" ? order.value("reason", "killed") : kSupervisor);
    }
  }

  void kill_init(const std::string& reason) {
    if (reason_.empty()) reason_ = reason.empty() ? "killed" : reason;
    ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
    killed_ = true;
    // Until it is gone, an end of file of another descriptor would be reported again and again.
    wait_for_end();
  }

  // A task that waits for the facade's answer cannot be killed before it has one. Should the facade
  // not give any, its end is the answer. Of another file system that does not answer there is no
  // end: what waits there is killed, runs no more, and nobody waits for it.
  bool wait_for_end() {
    if (given_up_ || wait_for(pidfd_.get(), kEndPatienceMs)) return !given_up_;
    facade_.stop();
    given_up_ = !wait_for(pidfd_.get(), kEndPatienceMs);
    return !given_up_;
  }

  // Kills and reaps PID 1. The kernel ends every process of the namespace before PID 1 is reaped
  // (pid_namespaces(7)).
  void end_init() {
    if (init_ <= 0) return;
    ::kill(init_, SIGKILL);
    if (wait_for_end()) {
      int status = 0;
      while (::wait4(init_, &status, __WALL, &usage_) < 0 && errno == EINTR) continue;
    } else {
      reason_ += (reason_.empty() ? "" : "; ") + std::string(kNotEnded);
    }
    init_ = 0;
  }

  // What cannot be told ends the sandbox: the supervisor would wait for it. Throws Failed.
  void tell(const Json& event, const std::vector<UniqueFd>& fds = {}) {
    if (send(event, fds)) return;
    const std::string name = event.value("event", "");
    const bool refusals =
        name == "returned" || name == "refused" || name == "over" || name == "failed";
    if (!refusals || fds.empty()) {
      throw Failed("sendmsg, to the supervisor", errno, "");
    }
    // Too many descriptors of this user may be on their way (unix(7), ETOOMANYREFS).
    Json less = event;
    less["refused_unknown"] = std::string("the list cannot be passed on: ") + std::strerror(errno);
    if (!send(less, {})) throw Failed("sendmsg, to the supervisor", errno, "");
  }

  bool send(const Json& event, const std::vector<UniqueFd>& fds) {
    std::vector<int> numbers;
    for (const UniqueFd& fd : fds) numbers.push_back(fd.get());
    // A supervisor that is gone shows as end of file.
    return send_with_fds(fds_.control.get(), dump_json(event), numbers) >= 0 || errno == EPIPE ||
           errno == ECONNRESET;
  }

  MonitorFds& fds_;
  const Prepared& prepared_;
  const std::string group_name_;
  LimitWatch* limits_ = nullptr;  // as long as there is a sandbox
  Spec spec_;
  Plan plan_;
  std::vector<sock_filter> filter_;  // if it is of this sandbox alone
  std::map<std::pair<uid_t, gid_t>, UniqueFd> idmaps_;
  NamespaceFds namespaces_;        // until the deputy has them
  UniqueFd alarm_ = make_alarm();  // of both counters
  RefusalCounter refusals_{alarm_.get()};
  std::uint64_t seen_ = 0;  // of `refusals_`
  Attendant deputy_;
  RefusalCounter missed_{alarm_.get()};
  std::uint64_t seen_missed_ = 0;  // of `missed_`
  std::string lost_;               // why some of what was refused is not known, and will not be
  std::vector<UniqueFd> network_;  // by NetworkFd, until the supervisor has them
  Attendant facade_;
  UniqueFd facade_link_;  // PID 1's end, until it has it
  pid_t init_ = 0;
  UniqueFd pidfd_;
  UniqueFd channel_;
  bool ready_ = false;
  bool killed_ = false;
  bool given_up_ = false;  // PID 1 was killed and does not end
  std::string reason_;     // why we killed it
  rusage usage_{};
  Commands commands_;
};

void tell_failed(int control, const std::string& what, int error, const std::string& remedy) {
  const Json event = {{"event", "failed"}, {"what", what}, {"errno", error}, {"remedy", remedy}};
  send_with_fds(control, dump_json(event), {});
}

}  // namespace

void run_monitor(MonitorFds fds, const Prepared& prepared, const std::string& group) {
  const int control = fds.control.get();
  try {
    Monitor(fds, prepared, group).run();
  } catch (const Failed& failed) {
    tell_failed(control, failed.what(), failed.error(), failed.remedy());
  } catch (const UserError& error) {
    tell_failed(control, error.what(), 0, error.remedy());
  } catch (const std::system_error& error) {
    tell_failed(control, error.what(), error.code().value(), "");
  } catch (const std::exception& error) {
    tell_failed(control, error.what(), 0, "");
  }
  // Not exit: what the launcher registered to run at its end is not ours.
  ::_exit(0);
}

}  // namespace sharkcage::sandbox
