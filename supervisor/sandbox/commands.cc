#include "supervisor/sandbox/commands.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <span>
#include <string_view>
#include <utility>

#include "common/errors.h"
#include "supervisor/sandbox/failures.h"

namespace sharkcage::sandbox {
namespace {

constexpr const char* kWall = "wall";
constexpr const char* kKilled = "the sandbox was killed, by its memory limit or from outside";
constexpr const char* kKeeperLost =
    "the process that keeps the command was killed, by the sandbox's memory limit or from inside";
// A keeper ends what belongs to its command within a second, or ends itself.
constexpr std::chrono::milliseconds kEndPatience{1500};
// Keepers that have no command; each holds some memory.
constexpr std::size_t kMaxWaiting = 4;

std::uint64_t microseconds(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000u +
         static_cast<std::uint64_t>(time.tv_usec);
}

bool send_order(int channel, const InitOrder& order, std::span<const int> fds = {}) {
  const std::string_view bytes(reinterpret_cast<const char*>(&order), sizeof order);
  return send_with_fds(channel, bytes, fds) == sizeof order;
}

}  // namespace

bool Commands::run(const Json& order, const std::vector<UniqueFd>& fds) {
  Command command;
  command.id = order.value("id", std::uint64_t{0});
  command.last = order.value("last", false);
  // The image, and stdio unless there is a terminal.
  const bool complete = command.id != 0 && (fds.size() == 1 || fds.size() == 4);
  if (!complete || full_ || (command.last && any_) || find(command.id) != nullptr) return false;
  const std::chrono::milliseconds wall(order.value("wall_ms", std::int64_t{0}));
  command.started = Clock::now();
  if (wall.count() > 0) command.deadline = command.started + wall;
  any_ = true;
  full_ = command.last;
  if (waiting_.empty()) waiting_.push_back(make_keeper(command.last));
  command.channel = std::move(waiting_.back());
  waiting_.pop_back();
  std::vector<int> numbers;
  for (const UniqueFd& fd : fds) numbers.push_back(fd.get());
  if (!send_order(command.channel.get(), {InitOrder::kRun, 0}, numbers)) {
    // A command has killed the keeper that waited for this one.
    command.channel = make_keeper(command.last);
    send_order(command.channel.get(), {InitOrder::kRun, 0}, numbers);
  }
  commands_.push_back(std::move(command));
  return true;
}

// A PID 1 that is gone is told by its pidfd.
UniqueFd Commands::make_keeper(bool last) {
  auto [ours, theirs] = make_socketpair(SOCK_SEQPACKET);
  const int fd = theirs.get();
  send_order(init_, {InitOrder::kKeep, last ? 1 : 0}, std::span(&fd, 1));
  return std::move(ours);
}

void Commands::signal(std::uint64_t id, int number) {
  Command* command = find(id);
  if (command != nullptr && !command->returned)
    send_order(command->channel.get(), {InitOrder::kSignal, number});
}

void Commands::cancel(std::uint64_t id, const std::string& reason) {
  Command* command = find(id);
  if (command == nullptr || command->over) return;
  if (command->reason.empty()) command->reason = reason.empty() ? "killed" : reason;
  if (command->last) return hooks_.end_sandbox(command->reason);
  if (std::exchange(command->ending, true)) return;
  command->deadline = Clock::now() + kEndPatience;
  send_order(command->channel.get(), {InitOrder::kEnd, 0});
}

void Commands::add_to(std::vector<pollfd>& events) const {
  for (const Command& command : commands_) {
    if (command.channel) events.push_back({command.channel.get(), POLLIN, 0});
  }
}

void Commands::hear(const std::vector<pollfd>& events) {
  for (const pollfd& event : events) {
    if (event.revents == 0) continue;
    const auto command =
        std::find_if(commands_.begin(), commands_.end(),
                     [&](const Command& known) { return known.channel.get() == event.fd; });
    if (command == commands_.end()) continue;
    while (hear(*command)) continue;
  }
  commands_.remove_if([](const Command& command) { return command.over; });
}

int Commands::milliseconds_left() const {
  auto next = Clock::time_point::max();
  for (const Command& command : commands_) next = std::min(next, command.deadline);
  if (next == Clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1 << 30));
}

void Commands::keep_time() {
  const auto now = Clock::now();
  for (Command& command : commands_) {
    if (command.deadline > now) continue;
    command.deadline = Clock::time_point::max();
    // Its keeper could not end everything in time: it was stopped, or the command forks faster.
    if (command.ending) return hooks_.end_sandbox(command.reason);
    cancel(command.id, kWall);
  }
}

void Commands::close(const std::string& reason, const rusage& usage) {
  closed_ = true;
  for (Command& command : commands_) {
    while (command.channel && hear(command)) continue;
    if (command.returned || command.over) continue;
    if (command.reason.empty()) command.reason = reason.empty() ? kKilled : reason;
    // Of the only command, what PID 1 and all of its children used is known; of several it is not.
    const bool measured = command.last;
    tell_returned(command, SIGKILL,
                  measured ? microseconds(usage.ru_utime) + microseconds(usage.ru_stime) : 0,
                  measured ? static_cast<std::uint64_t>(usage.ru_maxrss) * 1024 : 0);
  }
}

Commands::Command* Commands::find(std::uint64_t id) {
  const auto found = std::find_if(commands_.begin(), commands_.end(),
                                  [id](const Command& command) { return command.id == id; });
  return found == commands_.end() ? nullptr : &*found;
}

// False when its keeper has said nothing more.
bool Commands::hear(Command& command) {
  if (!command.channel) return false;
  InitReport report;
  std::vector<UniqueFd> fds;
  const ssize_t size = recv_with_fds(command.channel.get(), reinterpret_cast<char*>(&report),
                                     sizeof report, fds, MSG_DONTWAIT);
  if (size < 0 && errno == EAGAIN) return false;
  if (size == sizeof report) {
    on_report(command, report, fds);
    return true;
  }
  command.channel.reset();
  if (!command.over) lost(command);
  return false;
}

void Commands::on_report(Command& command, InitReport& report, const std::vector<UniqueFd>& fds) {
  switch (report.kind) {
    case InitReport::kTerminal:
      hooks_.tell({{"event", "terminal"}, {"id", command.id}}, fds);
      break;
    case InitReport::kStarted:
      command.leader = report.value;
      hooks_.tell({{"event", "started"}, {"id", command.id}, {"pid", report.value}}, {});
      break;
    case InitReport::kReturned:
      tell_returned(command, report.value, report.cpu_us, report.max_rss);
      break;
    case InitReport::kFailed:
      tell_failed(command, report);
      break;
    case InitReport::kOver:
      command.over = true;
      command.deadline = Clock::time_point::max();
      if (waiting_.size() < kMaxWaiting) waiting_.push_back(std::move(command.channel));
      hooks_.tell({{"event", "over"}, {"id", command.id}}, {});
      break;
    case InitReport::kFiltered:
    case InitReport::kReady:
      break;
  }
}

void Commands::tell_returned(Command& command, int status, std::uint64_t cpu_us,
                             std::uint64_t max_rss) {
  const auto since = Clock::now() - command.started;
  Json event = {{"event", "returned"},
                {"id", command.id},
                {"reason", command.reason},
                {"cpu_us", cpu_us},
                {"max_rss", max_rss},
                {"wall_us", std::chrono::duration_cast<std::chrono::microseconds>(since).count()}};
  if (WIFSIGNALED(status)) {
    event["signal"] = WTERMSIG(status);
  } else {
    event["exit"] = WEXITSTATUS(status);
  }
  command.returned = true;
  // The time limit is the command's. What it left behind lives as long as the sandbox.
  if (!command.ending) command.deadline = Clock::time_point::max();
  const std::vector<UniqueFd> refused = collect_refused(command, event);
  hooks_.tell(event, refused);
}

// A refusal belongs to the command whose session it was in; one of a process that has left its
// session, to the command that returns now.
std::vector<UniqueFd> Commands::collect_refused(Command& command, Json& event) {
  std::vector<UniqueFd> fds;
  try {
    RefusalTable::Taken taken = hooks_.collect();
    command.refused_more += taken.more;
    for (Refusal& refusal : taken.refusals) {
      const auto owner = std::find_if(
          commands_.begin(), commands_.end(),
          [&](const Command& known) { return !known.returned && known.leader == refusal.command; });
      (owner == commands_.end() ? command : *owner).refused.add(std::move(refusal));
    }
    RefusalTable::Taken own = command.refused.take();
    own.more += command.refused_more;
    if (!own.refusals.empty() || own.more > 0) fds.push_back(pack(own));
  } catch (const std::exception& error) {
    event["refused_unknown"] = error.what();
  }
  return fds;
}

void Commands::tell_failed(Command& command, InitReport& report) {
  report.text[sizeof report.text - 1] = '\0';
  const Failed failed(Failure{report.what, report.error, report.text});
  command.returned = command.over = true;
  hooks_.tell({{"event", "failed"},
               {"id", command.id},
               {"what", failed.what()},
               {"errno", failed.error()},
               {"remedy", failed.remedy()}},
              {});
}

// Without its keeper nobody knows which processes are the command's. PID 1 as keeper ends
// everything with itself.
void Commands::lost(Command& command) {
  if (command.last || closed_) return;
  hooks_.end_sandbox(command.ending ? command.reason : kKeeperLost);
}

}  // namespace sharkcage::sandbox
