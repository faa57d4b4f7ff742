#include "supervisor/sandbox/commands.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>

#include "common/errors.h"
#include "supervisor/sandbox/failures.h"

namespace sharkcage::sandbox {
namespace {

constexpr const char* kWall = "wall";
constexpr const char* kOutput = "output";
constexpr const char* kKilled = "the sandbox was killed, by its memory limit or from outside";
constexpr const char* kKeeperLost =
    "the process that keeps the command was killed, by the sandbox's memory limit or from inside";
// A keeper ends what belongs to its command within a second, or ends itself.
constexpr std::chrono::milliseconds kEndPatience{1500};
constexpr const char* kUnanswered = "its attendant does not answer";
// How long a client may take to read what a killed command had written.
constexpr std::chrono::milliseconds kOutputPatience{1000};

// What is refused to processes that were left running is told so soon, which makes one record of
// what they try in a row, and then at the earliest after a pause that doubles each time: whoever is
// refused something for twelve hours fills some eighty records. The next return begins anew.
constexpr std::chrono::milliseconds kRefusedGathering{500};
constexpr std::chrono::seconds kRefusedPause{5};
constexpr std::chrono::seconds kLongestRefusedPause{600};

std::uint64_t microseconds(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000u +
         static_cast<std::uint64_t>(time.tv_usec);
}

// False when nobody is there any more, which is told in another way. Throws Failed when it cannot
// be sent: what waits for it would wait for ever.
bool send_order(int channel, const InitOrder& order, std::span<const int> fds = {}) {
  const std::string_view bytes(reinterpret_cast<const char*>(&order), sizeof order);
  if (send_with_fds(channel, bytes, fds) == sizeof order) return true;
  if (errno == EPIPE || errno == ECONNRESET) return false;
  throw Failed("sendmsg, into the sandbox", errno, "");
}

// It, or by the convention of shells the last process below one, was ended for what it wrote.
bool wrote_beyond_limit(int status) {
  return WIFSIGNALED(status) ? WTERMSIG(status) == SIGXFSZ : WEXITSTATUS(status) == 128 + SIGXFSZ;
}

Refusal refused_by(const char* limit) {
  Refusal refusal;
  refusal.operation = "limit";
  refusal.target = limit;
  refusal.first_us = microseconds_since_1970();
  return refusal;
}

}  // namespace

void Commands::hold_to(LimitWatch& watch, std::uint64_t output) {
  watch_ = &watch;
  output_ = output;
}

bool Commands::run(const Json& order, std::vector<UniqueFd> fds) {
  Command command;
  command.id = order.value("id", std::uint64_t{0});
  command.last = order.value("last", false);
  const bool complete = command.id != 0 && (fds.size() == kStdinFd || fds.size() == kRunFds);
  if (!complete || full_ || (command.last && any_) || find(command.id) != nullptr) return false;
  if (fds.size() == kRunFds) {
    if (InputRelay::is_needed(fds[kStdinFd].get())) {
      command.input = std::make_unique<InputRelay>(std::move(fds[kStdinFd]));
      fds[kStdinFd] = command.input->take_end();
    }
    command.output = std::make_unique<OutputRelay>(std::move(fds[kStdoutFd]),
                                                   std::move(fds[kStderrFd]), output_);
    std::tie(fds[kStdoutFd], fds[kStderrFd]) = command.output->take_ends();
  }
  const std::chrono::milliseconds wall(order.value("wall_ms", std::int64_t{0}));
  command.mark = watch_->mark();
  command.started = Clock::now();
  if (wall.count() > 0) command.deadline = command.started + wall;
  any_ = true;
  full_ = command.last;
  if (waiting_.empty()) waiting_.push_back(make_keeper(command.last));
  command.keeper = std::move(waiting_.back());
  waiting_.pop_back();
  std::vector<int> numbers;
  for (const UniqueFd& fd : fds) numbers.push_back(fd.get());
  const InitOrder run{InitOrder::kRun, 0, command.id};
  if (!send_order(command.keeper.channel.get(), run, numbers)) {
    // A command has killed the keeper that waited for this one.
    command.keeper = make_keeper(command.last);
    send_order(command.keeper.channel.get(), run, numbers);
  }
  commands_.push_back(std::move(command));
  return true;
}

// A PID 1 that is gone is told by its pidfd.
Commands::KeeperEnd Commands::make_keeper(bool last) {
  auto [ours, theirs] = make_socketpair(SOCK_SEQPACKET);
  const int fd = theirs.get();
  send_order(init_, {InitOrder::kKeep, last ? 1 : 0}, std::span(&fd, 1));
  return {std::move(ours), 0};
}

void Commands::signal(std::uint64_t id, int number) {
  Command* command = find(id);
  if (command != nullptr && !command->returned)
    send_order(command->keeper.channel.get(), {InitOrder::kSignal, number});
}

void Commands::foreground(std::uint64_t id, bool on) {
  Command* command = find(id);
  if (command != nullptr && !command->returned)
    send_order(command->keeper.channel.get(), {InitOrder::kForeground, on ? 1 : 0});
}

void Commands::release(std::uint64_t id) {
  Command* command = find(id);
  if (command == nullptr || !command->terminal) return;
  // Its flags were the client's as well.
  command->released = ::fcntl(command->terminal.get(), F_SETFL, O_NONBLOCK) == 0;
}

void Commands::cancel(std::uint64_t id, const std::string& reason) {
  Command* command = find(id);
  if (command == nullptr || command->over) return;
  if (command->reason.empty()) command->reason = reason.empty() ? "killed" : reason;
  if (command->last) return hooks_.end_sandbox(command->reason);
  if (std::exchange(command->ending, true)) return;
  command->deadline = Clock::now() + kEndPatience;
  send_order(command->keeper.channel.get(), {InitOrder::kEnd, 0});
}

void Commands::add_to(std::vector<pollfd>& events) const {
  for (const Command& command : commands_) {
    if (command.keeper.channel) events.push_back({command.keeper.channel.get(), POLLIN, 0});
    if (command.input) command.input->add_to(events);
    if (command.output) command.output->add_to(events);
    if (command.released) events.push_back({command.terminal.get(), POLLIN, 0});
  }
}

void Commands::hear(const std::vector<pollfd>& events) {
  // Output first: most of what a command wrote is through then when it is heard to have returned.
  for (Command& command : commands_) {
    if (command.input) command.input->hear(events);
    if (command.output) command.output->hear(events);
  }
  for (const pollfd& event : events) {
    if (event.revents == 0) continue;
    const auto command =
        std::find_if(commands_.begin(), commands_.end(),
                     [&](const Command& known) { return known.keeper.channel.get() == event.fd; });
    if (command != commands_.end()) {
      while (hear(*command)) continue;
      continue;
    }
    const auto terminal = std::find_if(
        commands_.begin(), commands_.end(),
        [&](const Command& known) { return known.released && known.terminal.get() == event.fd; });
    if (terminal != commands_.end()) drain_terminal(*terminal);
  }
  for (Command& command : commands_) keep_output(command);
  commands_.remove_if([](const Command& command) {
    return command.over && command.outcome.is_null() &&
           (!command.output || command.output->drained());
  });
}

// What follows from the output that has gone by now.
void Commands::keep_output(Command& command) {
  if (!command.output) return;
  if (command.output->over_limit()) {
    // Not told before it is killed (SIGPIPE): it could end by that first. What a command left
    // behind has its streams closed, no more.
    command.returned ? command.output->refuse_more() : cancel(command.id, kOutput);
  }
  if (!command.outcome.is_null() && command.output->drained()) tell_returned(command);
}

// As of a pipe: up to the limit, and then nobody takes it.
void Commands::drain_terminal(Command& command) {
  char block[4096];
  const ssize_t got = ::read(command.terminal.get(), block, sizeof block);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got > 0) command.drained += static_cast<std::uint64_t>(got);
  if (got > 0 && command.drained <= output_) return;
  command.released = false;
  command.terminal.reset();
}

bool Commands::relaying() const {
  return std::any_of(commands_.begin(), commands_.end(),
                     [](const Command& command) { return !command.outcome.is_null(); });
}

void Commands::drop_output() {
  for (Command& command : commands_) {
    command.output.reset();
    if (!command.outcome.is_null()) tell_returned(command);
  }
}

int Commands::milliseconds_left() const {
  auto next = refused_due_;
  for (const Command& command : commands_) next = std::min(next, command.deadline);
  if (next == Clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1 << 30));
}

void Commands::keep_time() {
  const auto now = Clock::now();
  if (refused_due_ <= now) tell_refused();
  for (Command& command : commands_) {
    if (command.deadline > now) continue;
    command.deadline = Clock::time_point::max();
    // Its client does not read.
    if (!command.outcome.is_null()) {
      command.output.reset();
      tell_returned(command);
      continue;
    }
    // Its keeper could not end everything in time: it was stopped, or the command forks faster.
    if (command.ending) return hooks_.end_sandbox(command.reason);
    cancel(command.id, kWall);
  }
}

void Commands::close(const std::string& reason, const rusage& usage) {
  closed_ = true;
  for (Command& command : commands_) {
    while (command.keeper.channel && hear(command)) continue;
  }
  if (Command* newest = newest_there()) collect_refused(*newest);
  for (Command& command : commands_) {
    if (command.over) continue;
    if (command.returned) {
      if (command.outcome.is_null()) tell_over(command);
      continue;
    }
    if (command.reason.empty()) command.reason = reason.empty() ? kKilled : reason;
    command.deadline = Clock::now() + kOutputPatience;
    InitReport report;
    report.value = SIGKILL;
    // Of the only command, what PID 1 and all of its children used is known; of several it is not.
    if (command.last) {
      report.cpu_us = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
      report.max_rss = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
    }
    note_returned(command, report);
  }
}

// Of the commands of which processes may have been left, one that has returned before others: those
// may wait at their gates, to be dropped.
Commands::Command* Commands::newest_there() {
  Command* newest = nullptr;
  for (Command& command : commands_) {
    if (command.over) continue;
    if (newest == nullptr || command.returned || !newest->returned) newest = &command;
  }
  return newest;
}

Commands::Command* Commands::find(std::uint64_t id) {
  const auto found = std::find_if(commands_.begin(), commands_.end(),
                                  [id](const Command& command) { return command.id == id; });
  return found == commands_.end() ? nullptr : &*found;
}

// False when its keeper has said nothing more.
bool Commands::hear(Command& command) {
  if (!command.keeper.channel) return false;
  InitReport report;
  std::vector<UniqueFd> fds;
  const ssize_t size = recv_with_fds(command.keeper.channel.get(), reinterpret_cast<char*>(&report),
                                     sizeof report, fds, MSG_DONTWAIT);
  if (size < 0 && errno == EAGAIN) return false;
  if (size == sizeof report) {
    on_report(command, report, fds);
    return true;
  }
  command.keeper.channel.reset();
  if (!command.over) lost(command);
  return false;
}

void Commands::on_report(Command& command, InitReport& report, const std::vector<UniqueFd>& fds) {
  switch (report.kind) {
    case InitReport::kTerminal:
      if (!command.last && !fds.empty()) {
        command.terminal.reset(::fcntl(fds[0].get(), F_DUPFD_CLOEXEC, 0));
      }
      hooks_.tell({{"event", "terminal"}, {"id", command.id}}, fds);
      break;
    case InitReport::kKeeper:
      command.keeper.session = report.session;
      break;
    case InitReport::kStopped:
      hooks_.tell({{"event", "stopped"}, {"id", command.id}, {"signal", report.value}}, {});
      break;
    case InitReport::kReturned:
      if (report.over) note_over(command);
      note_returned(command, report);
      break;
    case InitReport::kFailed:
      tell_failed(command, report);
      break;
    case InitReport::kOver:
      on_over(command);
      break;
    case InitReport::kInMemory:
    case InitReport::kFiltered:
    case InitReport::kSocket:
    case InitReport::kReady:
      break;
  }
}

void Commands::on_over(Command& command) {
  // One that was dropped at its gate was refused nothing.
  if (command.returned) collect_refused(command);
  note_over(command);
  if (!command.outcome.is_null()) return;  // what is told of its return says it
  command.deadline = Clock::time_point::max();
  tell_over(command);
}

void Commands::note_over(Command& command) {
  command.over = true;
  if (command.output) command.output->note_end();
  if (waiting_.size() < watch_->waiting_keepers()) {
    waiting_.push_back({std::move(command.keeper.channel), command.keeper.session});
  } else {
    command.keeper.channel.reset();
  }
}

// It is told once everything that the command wrote is with its client.
void Commands::note_returned(Command& command, const InitReport& report) {
  const int status = report.value;
  const auto wall = Clock::now() - command.started;
  watch_->note_processes(report.processes);
  std::vector<Refusal> limits = watch_->since(command.mark);
  const bool out_of_memory = !limits.empty() && limits.front().target == kMemory;
  // The kernel kills before we can.
  const bool by_us = !command.reason.empty() && command.reason != kKilled;
  if (out_of_memory && !by_us && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
    command.reason = kMemory;
  }
  for (const char* limit : {kWall, kOutput}) {
    if (command.reason == limit) limits.push_back(refused_by(limit));
  }
  if (wrote_beyond_limit(status)) limits.push_back(refused_by("file size"));
  if (report.full) limits.push_back(refused_by("tmp"));
  command.outcome = {
      {"event", "returned"},
      {"id", command.id},
      {"reason", command.reason},
      {"cpu_us", report.cpu_us},
      {"max_rss", report.max_rss},
      {"wall_us", std::chrono::duration_cast<std::chrono::microseconds>(wall).count()}};
  if (WIFSIGNALED(status)) {
    command.outcome["signal"] = WTERMSIG(status);
  } else {
    command.outcome["exit"] = WEXITSTATUS(status);
  }
  if (report.not_found) command.outcome["not_found"] = true;
  for (const Refusal& limit : limits) command.outcome["limits"].push_back(refusal_to_json(limit));
  command.returned = true;
  command.input.reset();  // whoever it left behind sees the end of file
  collect_refused(command);
  if (command.output) command.output->note_end();
  if (!command.output || command.output->drained()) tell_returned(command);
}

void Commands::tell_returned(Command& command) {
  command.outcome["over"] = command.over;
  // Before the client can hear of it and go.
  if (command.output) command.output->let_go();
  tell(command, std::exchange(command.outcome, nullptr));
  // The time limit is the command's. What it left behind lives as long as the sandbox.
  if (!command.ending || command.over) command.deadline = Clock::time_point::max();
  if (closed_ && !command.over) return tell_over(command);
  if (!left_running(command)) return;
  refused_pause_ = kRefusedPause;
  watch_refused();
}

bool Commands::left_running(const Command& command) const {
  return command.returned && !command.over && !command.last && command.outcome.is_null();
}

void Commands::watch_refused() {
  if (!hooks_.arm()) note_refused();
}

void Commands::note_refused() {
  if (refused_due_ != Clock::time_point::max()) return;
  if (std::none_of(commands_.begin(), commands_.end(),
                   [&](const Command& command) { return left_running(command); })) {
    return;
  }
  refused_due_ = Clock::now() + kRefusedGathering;
  if (refused_told_ != Clock::time_point::min()) {
    refused_due_ = std::max(refused_due_, refused_told_ + refused_pause_);
  }
}

void Commands::tell_refused() {
  refused_due_ = Clock::time_point::max();
  Command* const newest = newest_there();
  if (newest == nullptr) return;
  collect_refused(*newest);
  bool told = false;
  for (Command& command : commands_) {
    const bool news =
        !command.refused.empty() || command.refused_more > 0 || !command.refused_unknown.empty();
    if (!left_running(command) || !news) continue;
    told = true;
    tell(command, {{"event", "refused"}, {"id", command.id}});
  }
  if (told) {
    const bool again = refused_told_ != Clock::time_point::min();
    if (again) refused_pause_ = std::min(2 * refused_pause_, kLongestRefusedPause);
    refused_told_ = Clock::now();
  }
  watch_refused();
}

// Each command that has returned is told to be over, unless its return says so: without that,
// nobody knows what was refused to what it left behind.
void Commands::tell_over(Command& command) {
  command.over = true;
  tell(command, {{"event", "over"}, {"id", command.id}});
}

// With what was refused to the command since it was told the last time.
void Commands::tell(Command& command, Json event) {
  const std::vector<UniqueFd> refused = take_refused(command, event);
  hooks_.tell(event, refused);
  // What does not answer would hold up every later command as well.
  if (event.contains("refused_unknown") && !closed_) hooks_.end_sandbox(kUnanswered);
}

// What the attendants have refused, to those who tried; `now` is the command of which something is
// told next.
void Commands::collect_refused(Command& now) {
  try {
    RefusalTable::Taken taken = hooks_.collect();
    learn_sessions();
    now.refused_more += taken.more;
    for (Refusal& refusal : taken.refusals) {
      owner_of(refusal, now).refused.add(std::move(refusal));
    }
  } catch (const std::exception& error) {
    // What is lost may be anybody's.
    for (Command& command : commands_) command.refused_unknown = error.what();
  }
}

// Whoever was refused something has a keeper that told its session before, which may not have been
// heard by now.
void Commands::learn_sessions() {
  for (Command& command : commands_) {
    if (command.keeper.session != 0 || !command.keeper.channel) continue;
    InitReport report;
    const ssize_t size =
        ::recv(command.keeper.channel.get(), &report, sizeof report, MSG_PEEK | MSG_DONTWAIT);
    if (size == sizeof report && report.kind == InitReport::kKeeper) {
      command.keeper.session = report.session;
    }
  }
}

// A refusal belongs to the command whose keeper the process comes from, also when that has
// returned; one of which that is not known, to `now`. A keeper's next command has the same session,
// which is the keeper's, so the newest counts: what the one before was refused was collected when
// it was over.
Commands::Command& Commands::owner_of(const Refusal& refusal, Command& now) {
  if (refusal.command == 0) return now;
  const auto owner = std::find_if(commands_.rbegin(), commands_.rend(), [&](const Command& known) {
    return known.keeper.session == refusal.command;
  });
  return owner == commands_.rend() ? now : *owner;
}

std::vector<UniqueFd> Commands::take_refused(Command& command, Json& event) {
  std::vector<UniqueFd> fds;
  RefusalTable::Taken own = command.refused.take();
  own.more += std::exchange(command.refused_more, 0);
  try {
    if (!own.refusals.empty() || own.more > 0) fds.push_back(pack(own));
  } catch (const std::exception& error) {
    command.refused_unknown = error.what();
  }
  if (!command.refused_unknown.empty()) {
    event["refused_unknown"] = std::exchange(command.refused_unknown, "");
  }
  return fds;
}

void Commands::tell_failed(Command& command, InitReport& report) {
  report.text[sizeof report.text - 1] = '\0';
  const Failed failed(Failure{report.what, report.error, report.text});
  collect_refused(command);  // what its start was refused is no later command's
  command.returned = command.over = true;
  tell(command, {{"event", "failed"},
                 {"id", command.id},
                 {"what", failed.what()},
                 {"errno", failed.error()},
                 {"remedy", failed.remedy()}});
}

// Without its keeper nobody knows which processes are the command's. PID 1 as keeper ends
// everything with itself.
void Commands::lost(Command& command) {
  if (command.last || closed_) return;
  hooks_.end_sandbox(command.ending                ? command.reason
                     : watch_->ran_out_of_memory() ? kMemory
                                                   : kKeeperLost);
}

}  // namespace sharkcage::sandbox
