#include "supervisor/runner.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "common/errors.h"
#include "common/hash.h"
#include "supervisor/environment.h"
#include "supervisor/judge.h"
#include "supervisor/limit_reports.h"
#include "supervisor/refusals.h"

namespace sharkcage {
namespace {

constexpr std::size_t kProxyTokenBytes = 16;
constexpr const char* kLeftRunning = "refused to what the command left running";
constexpr std::array<const char*, 3> kStdioNames = {"stdin", "stdout", "stderr"};

Seat seat_of(const Call& call) {
  return {call.scope,
          call.session,
          call.agent,
          call.skill,
          call.content_digest,
          call.policy.workspace,
          call.policy.workspace_access,
          call.owner};
}

// For whoever reads of the outcome; the verdict has the whole of it.
std::string in_short(const std::vector<std::string>& argv) {
  constexpr std::size_t kMost = 120;
  const bool line = argv.size() == 3 && argv[0] == "/bin/sh" && argv[1] == "-c";
  std::string text;
  for (std::size_t i = line ? 2 : 0; i < argv.size() && text.size() <= kMost; ++i) {
    text += (text.empty() ? "" : " ") + argv[i];
  }
  if (text.size() <= kMost) return text;
  std::size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

// As the sandbox finds it (Command::candidates), but absolute.
std::vector<std::string> programs_of(const sandbox::Command& command) {
  std::vector<std::string> paths = command.candidates();
  for (std::string& path : paths) {
    if (!path.starts_with('/')) path = command.workdir + "/" + path;
  }
  return paths;
}

egress::Listen listen_of(const Call& call) {
  egress::Listen listen;
  listen.session = call.session;
  listen.skill = call.skill;
  listen.hosts = call.policy.hosts;
  listen.deny_hosts = call.policy.deny_hosts;
  return listen;
}

// How much was refused, by the sandbox and by the egress, and in how many records that stands.
void add_refused_count(Json& notification, const Json& payload, const Call& call) {
  const bool listed = payload.contains("refused");
  const std::uint64_t refused =
      (listed ? payload["refused"].size() : 0) + call.refused_hosts.size();
  const std::uint64_t records = (listed ? 1 : 0) + call.refused_host_records;
  if (refused > 0) notification["refused"] = refused;
  if (records > 1) notification["refused_records"] = records;
}

}  // namespace

struct Runner::Running {
  std::shared_ptr<Call> call;
  std::weak_ptr<Connection> connection;
  std::uint64_t connection_id = 0;
  std::shared_ptr<LiveSandbox> sandbox;
  std::uint64_t command = 0;  // its number in the sandbox
  UniqueFd terminal;          // our duplicate of the master, for window sizes
  UniqueFd terminal_to_send;  // the client's
  std::vector<std::string> dropped;
  std::string command_line;           // in short
  std::vector<std::string> programs;  // that it may begin as, in order
  std::string workdir;
  std::string cancelled;  // why we ended it, if we did
  bool terminal_wanted = false;
  bool going = false;                 // else it waits for its verdict
  std::vector<sandbox::Event> early;  // what came before
  bool announced = false;
  bool returned = false;
};

Runner::Runner(Sandboxes& sandboxes, Journal& journal, Calls& calls, Ends& ends)
    : sandboxes_(sandboxes), journal_(journal), calls_(calls), ends_(ends) {}

void Runner::stage(std::shared_ptr<Call> call, PreparedCommand command,
                   const std::shared_ptr<Connection>& connection, std::vector<UniqueFd> stdio,
                   sandbox::Terminal terminal) {
  auto running = std::make_shared<Running>();
  try {
    if (stdio.size() != (terminal.enabled ? 0u : 3u)) {
      throw MethodError(rpc::kInvalidParams,
                        "Exactly stdin, stdout and stderr must be passed, or none with a terminal");
    }
    for (std::size_t i = 0; i < stdio.size(); ++i) check_stdio(stdio[i].get(), kStdioNames[i]);

    const Policy& policy = call->policy;
    const std::string token = policy.network() ? random_hex(kProxyTokenBytes) : std::string();
    auto environment = build_environment({command.environment, command.environment,
                                          account_of(call->owner).name, token, command.workdir},
                                         policy);
    const sandbox::Command image{std::move(command.argv), std::move(environment.variables),
                                 std::move(command.workdir), terminal};
    running->command_line = in_short(image.argv);
    std::vector<int> numbers;
    for (const auto& fd : stdio) numbers.push_back(fd.get());

    const Sandboxes::Taken taken = sandboxes_.take(seat_of(*call), policy);
    running->sandbox = taken.sandbox;
    running->dropped = std::move(environment.dropped);
    running->sandbox->admit(listen_of(*call), {call->id, token, 0});
    running->terminal_wanted = terminal.enabled;
    running->command = running->sandbox->stage(
        image, policy.limits.wall, !taken.warm, numbers,
        [this, running](sandbox::Event event) { hear(*running, std::move(event)); });
    running->programs = programs_of(image);
    running->workdir = image.workdir;
  } catch (const MethodError&) {
    throw;
  } catch (const UserError& error) {
    let_go(*running, *call);
    throw MethodError(rpc::kSandboxFailed, error.what(), error.remedy());
  } catch (const std::system_error& error) {
    let_go(*running, *call);
    throw MethodError(rpc::kUnavailable,
                      std::string("The sandbox could not be started: ") + error.what());
  }
  running->call = std::move(call);
  running->connection = connection;
  running->connection_id = connection->id;
  running_[running->call->id] = running;
}

bool Runner::go(const std::string& call) {
  const auto found = running_.find(call);
  if (found == running_.end()) return false;
  const std::shared_ptr<Running> running = found->second;
  if (!running->cancelled.empty()) {
    drop(call);
    return false;
  }
  running->going = true;
  running->call->state = CallState::kRunning;
  running->sandbox->go(running->command);
  if (!running->terminal_wanted) announce(*running);
  for (sandbox::Event& event : std::exchange(running->early, {})) {
    on_event(*running, std::move(event));
  }
  return true;
}

void Runner::drop(const std::string& call) {
  const auto found = running_.find(call);
  if (found == running_.end() || found->second->going) return;
  const std::shared_ptr<Running> running = found->second;
  running_.erase(found);
  ends_.note();
  running->sandbox->drop(running->command);
  let_go(*running, *running->call);
}

// The call's command is not executed in the sandbox that was taken for it.
void Runner::let_go(Running& running, const Call& call) {
  if (!running.sandbox) return;
  running.sandbox->dismiss(call.id);
  sandboxes_.returned(*running.sandbox);
}

// The client learns of a call before it learns what came of it.
void Runner::hear(Running& running, sandbox::Event event) {
  if (running.going) return on_event(running, std::move(event));
  running.early.push_back(std::move(event));
}

void Runner::on_event(Running& running, sandbox::Event event) {
  switch (event.kind) {
    case sandbox::Event::Kind::kReady:
      break;
    case sandbox::Event::Kind::kTerminal:
      running.terminal.reset(::fcntl(event.terminal.get(), F_DUPFD_CLOEXEC, 3));
      running.terminal_to_send = std::move(event.terminal);
      announce(running);
      break;
    case sandbox::Event::Kind::kStopped:
      running.call->stopped = true;
      if (const auto connection = running.connection.lock()) {
        connection->send(rpc::notification("exec.stopped",
                                           {{"call", running.call->id}, {"signal", event.signal}}));
      }
      break;
    case sandbox::Event::Kind::kRefused:
      on_refused(running, event);
      break;
    case sandbox::Event::Kind::kReturned:
      on_returned(running, event);
      if (event.over) forget(running);
      break;
    case sandbox::Event::Kind::kFailed:
      if (running.returned) return on_over(running, event);
      on_failed(running, event);
      forget(running);
      break;
    case sandbox::Event::Kind::kOver:
    case sandbox::Event::Kind::kEnded:
      on_over(running, event);
      break;
  }
}

void Runner::on_returned(Running& running, const sandbox::Event& event) {
  announce(running);
  Json payload = {{"wall_us", event.wall_us}, {"cpu_us", event.cpu_us}, {"max_rss", event.max_rss}};
  Json notification = Json::object();
  if (event.exit) {
    notification["exit"] = payload["exit"] = *event.exit;
  } else {
    notification["signal"] = payload["signal"] = event.signal;
  }
  if (event.not_found) notification["not_found"] = true;
  add_refused(payload, event, running);
  const std::string reason = running.cancelled.empty() ? event.reason : running.cancelled;
  if (!reason.empty()) notification["reason"] = reason;
  report_limits(event, running.call->policy.limits, running.command_line, payload, notification);
  // Before the client hears of it: what it makes then is not the command's.
  sandboxes_.returned(*running.sandbox);
  finish(running, std::move(notification), "", reason, std::move(payload));
  running.call->state = CallState::kReturned;
}

void Runner::on_failed(Running& running, const sandbox::Event& event) {
  std::string message = event.what;
  if (!event.remedy.empty()) message += ". " + event.remedy;
  Json payload = {{"errno", event.error}};
  add_refused(payload, event, running);
  finish(running, {{"exit", 125}, {"reason", "sandbox"}, {"message", message}}, "block", message,
         std::move(payload));
  sandboxes_.returned(*running.sandbox);
}

// What was refused to what the command left running since the last record that lists any: as long
// as it runs, at intervals. The first outcome was written when the command returned.
void Runner::on_refused(Running& running, const sandbox::Event& event) {
  Json payload = Json::object();
  add_refused(payload, event, running);
  if (payload.empty()) return;
  payload["running"] = true;
  note_left_running(running, std::move(payload));
}

// No process of the call is left.
void Runner::on_over(Running& running, const sandbox::Event& event) {
  Json payload = Json::object();
  add_refused(payload, event, running);
  if (!running.returned) {
    const std::string reason = running.cancelled.empty() ? "supervisor" : running.cancelled;
    finish(running, {{"signal", 9}, {"reason", reason}, {"message", "The sandbox was ended"}}, "",
           "ended before it returned: " + reason, std::move(payload));
  } else if (!payload.empty()) {
    note_left_running(running, std::move(payload));
  }
  forget(running);
}

void Runner::note_left_running(const Running& running, Json payload) {
  audit::Record record = running.call->record("outcome");
  record.reason = kLeftRunning;
  record.policy = running.call->policy_digest;
  payload["left_running"] = true;
  payload["command"] = running.command_line;
  record.payload = std::move(payload);
  journal_.note(std::move(record));
}

void Runner::add_refused(Json& payload, const sandbox::Event& event, Running& running) const {
  Call& call = *running.call;
  const Account& account = account_of(call.owner);
  // One that did not run was refused its working directory, if anything.
  const Start start = event.kind == sandbox::Event::Kind::kFailed
                          ? Start{"access", {running.workdir}}
                          : Start{"execute", running.programs};
  add_refusals(payload, event.refused, event.refused_more, call.policy,
               {account.uid, account.gid, sandboxes_.privileged()}, start);
  add_unknown_refusals(payload, event.refused_unknown);
  if (payload.contains("refused")) call.refused += payload["refused"].size();
}

void Runner::forget(Running& running) {
  const std::string id = running.call->id;
  running.sandbox->dismiss(id);
  calls_.finish(*running.call);
  running_.erase(id);
  ends_.note();
}

void Runner::announce(Running& running) {
  if (std::exchange(running.announced, true)) return;
  const auto connection = running.connection.lock();
  if (!connection) return;
  std::vector<UniqueFd> fds;
  if (running.terminal_to_send) fds.push_back(std::move(running.terminal_to_send));
  connection->send(rpc::notification("exec.started", {{"call", running.call->id}}), std::move(fds));
}

void Runner::finish(Running& running, Json notification, const std::string& decision,
                    const std::string& reason, Json payload) {
  if (std::exchange(running.returned, true)) return;
  audit::Record record = running.call->record("outcome");
  record.decision = decision;
  record.reason = reason;
  record.policy = running.call->policy_digest;
  if (!running.dropped.empty()) payload["dropped_variables"] = running.dropped;
  add_refused_count(notification, payload, *running.call);
  // Before the log's thread is woken, which may take this processor.
  if (const auto connection = running.connection.lock()) {
    notification["call"] = running.call->id;
    connection->send(rpc::notification("exec.exit", std::move(notification)));
    connection->flush();
  }
  record.payload = std::move(payload);
  journal_.note(std::move(record));
}

bool Runner::signal(const std::string& call, int number) {
  const auto found = running_.find(call);
  if (found == running_.end()) return false;
  if (number == SIGCONT) found->second->call->stopped = false;
  return found->second->sandbox->signal(found->second->command, number);
}

bool Runner::resize(const std::string& call, unsigned rows, unsigned columns) {
  const auto found = running_.find(call);
  if (found == running_.end() || !found->second->terminal) return false;
  winsize size{};
  size.ws_row = static_cast<unsigned short>(rows);
  size.ws_col = static_cast<unsigned short>(columns);
  return ::ioctl(found->second->terminal.get(), TIOCSWINSZ, &size) == 0;
}

bool Runner::foreground(const std::string& call, bool on) {
  const auto found = running_.find(call);
  return found != running_.end() && found->second->sandbox->foreground(found->second->command, on);
}

bool Runner::cancel(const std::string& call, const std::string& reason) {
  const auto found = running_.find(call);
  if (found == running_.end()) return false;
  if (found->second->cancelled.empty()) found->second->cancelled = reason;
  if (!found->second->going) return true;
  return found->second->sandbox->cancel(found->second->command, reason);
}

bool Runner::belongs_to(const std::string& call, std::uint64_t connection) const {
  const auto found = running_.find(call);
  return found != running_.end() && found->second->connection_id == connection;
}

bool Runner::used_by_others(const LiveSandbox& sandbox, const std::string& session) const {
  return std::any_of(running_.begin(), running_.end(), [&](const auto& entry) {
    return entry.second->sandbox.get() == &sandbox && entry.second->call->session != session;
  });
}

void Runner::connection_closed(std::uint64_t connection) {
  for (const auto& [id, running] : running_) {
    if (running->connection_id != connection) continue;
    if (running->returned && running->terminal) running->sandbox->release(running->command);
    if (!running->returned) cancel(id, "cancelled");
  }
}

void Runner::cancel_skill(const std::string& skill) {
  for (const auto& [id, running] : running_) {
    if (running->call->skill == skill) cancel(id, "revoked");
  }
  sandboxes_.end_skill(skill, "revoked");
}

void Runner::cancel_all(const std::string& reason) {
  for (const auto& [id, running] : running_) {
    if (running->cancelled.empty()) running->cancelled = reason;
  }
  sandboxes_.end_all(reason);
}

}  // namespace sharkcage
