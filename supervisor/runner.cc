#include "supervisor/runner.h"

#include <fcntl.h>
#include <pwd.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>

#include <array>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>

#include "common/errors.h"
#include "common/hash.h"
#include "supervisor/environment.h"
#include "supervisor/judge.h"
#include "supervisor/refusals.h"

namespace sharkcage {
namespace {

constexpr std::size_t kProxyTokenBytes = 16;
constexpr std::array<const char*, 3> kStdioNames = {"stdin", "stdout", "stderr"};

struct Account {
  std::string name;
  gid_t group = 0;
};

Account account_of(uid_t uid) {
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    return {"user", uid};
  }
  return {found->pw_name, found->pw_gid};
}

}  // namespace

struct Runner::Running {
  Running(asio::io_context& context, UniqueFd control)
      : control_socket(context, control.release()) {}

  std::shared_ptr<Call> call;
  std::weak_ptr<Connection> connection;
  std::uint64_t connection_id = 0;
  asio::posix::stream_descriptor control_socket;
  UniqueFd terminal;          // our duplicate of the master, for window sizes
  UniqueFd terminal_to_send;  // the client's
  std::string token;          // of the egress
  std::uint64_t listener = 0;
  uid_t host_uid = 0;
  Owner owner;
  std::vector<std::string> dropped;
  std::string cancelled;  // why we ended it, if we did
  bool announced = false;
  bool returned = false;

  int control() { return control_socket.native_handle(); }
};

Runner::Runner(asio::io_context& context, Processes& processes, Journal& journal, Calls& calls,
               RunnerOptions options)
    : context_(context),
      processes_(processes),
      journal_(journal),
      calls_(calls),
      options_(std::move(options)) {}

void Runner::start(std::shared_ptr<Call> call, PreparedCommand command,
                   const std::shared_ptr<Connection>& connection, std::vector<UniqueFd> stdio,
                   sandbox::Terminal terminal) {
  auto [ours, theirs] = sandbox::make_control();
  auto running = std::make_shared<Running>(context_, std::move(ours));
  try {
    if (stdio.size() != (terminal.enabled ? 0u : 3u)) {
      throw MethodError(rpc::kInvalidParams,
                        "Exactly stdin, stdout and stderr must be passed, or none with a terminal");
    }
    for (std::size_t i = 0; i < stdio.size(); ++i) check_stdio(stdio[i].get(), kStdioNames[i]);

    const Account account = account_of(call->owner);
    sandbox::Spec spec;
    spec.policy = call->policy;
    spec.paths = judge_paths(call->policy, options_.skills_dir, call->owner, account.group,
                             options_.privileged);
    spec.identity = {call->owner, account.group, account.name, 0};
    running->owner = {call->owner, account.group, options_.privileged};
    if (options_.privileged) spec.identity.host_uid = running->host_uid = host_ids_.take();
    if (call->policy.network()) running->token = random_hex(kProxyTokenBytes);
    auto environment = build_environment(
        {command.environment, command.environment, account.name, running->token}, call->policy);
    running->dropped = std::move(environment.dropped);
    processes_.launch(spec, theirs.get());
    std::vector<int> numbers;
    for (const auto& fd : stdio) numbers.push_back(fd.get());
    sandbox::order_run(running->control(), {.wall = call->policy.limits.wall},
                       {std::move(command.argv), std::move(environment.variables),
                        std::move(command.workdir), terminal},
                       numbers);
  } catch (const MethodError&) {
    host_ids_.give_back(running->host_uid);
    throw;
  } catch (const UserError& error) {
    host_ids_.give_back(running->host_uid);
    throw MethodError(rpc::kSandboxFailed, error.what(), error.remedy());
  } catch (const std::system_error& error) {
    host_ids_.give_back(running->host_uid);
    throw MethodError(rpc::kUnavailable,
                      std::string("The sandbox could not be started: ") + error.what());
  }
  call->state = CallState::kRunning;
  running->call = std::move(call);
  running->connection = connection;
  running->connection_id = connection->id;
  running_[running->call->id] = running;
  asio::co_spawn(context_, attend(running), asio::detached);
}

asio::awaitable<void> Runner::attend(std::shared_ptr<Running> running) {
  std::error_code error;
  bool alive = true;
  while (alive) {
    co_await running->control_socket.async_wait(asio::posix::stream_descriptor::wait_read,
                                                asio::redirect_error(asio::use_awaitable, error));
    if (error) break;
    try {
      while (auto event = sandbox::receive_event(running->control())) {
        if (event->kind == sandbox::Event::Kind::kEnded) {
          alive = false;
          break;
        }
        on_event(*running, std::move(*event));
      }
    } catch (const std::exception& problem) {
      spdlog::error("call {}: {}", running->call->id, problem.what());
      sandbox::order_kill(running->control(), "supervisor");
      break;
    }
  }
  if (!running->returned) {
    const std::string reason = running->cancelled.empty() ? "supervisor" : running->cancelled;
    finish(*running, {{"signal", 9}, {"reason", reason}, {"message", "The sandbox was ended"}}, "",
           "ended before it returned: " + reason, Json::object());
  }
  if (running->listener != 0) processes_.close_listener(running->listener);
  host_ids_.give_back(running->host_uid);
  calls_.finish(*running->call);
  running_.erase(running->call->id);
}

void Runner::on_event(Running& running, sandbox::Event event) {
  const Call& call = *running.call;
  switch (event.kind) {
    case sandbox::Event::Kind::kReady:
      if (event.listener) {
        egress::Listen listen;
        listen.call = call.id;
        listen.session = call.session;
        listen.skill = call.skill;
        listen.token = running.token;
        listen.hosts = call.policy.hosts;
        listen.deny_hosts = call.policy.deny_hosts;
        running.listener = processes_.listen(std::move(listen), std::move(event.listener));
      }
      break;
    case sandbox::Event::Kind::kTerminal:
      running.terminal.reset(::fcntl(event.terminal.get(), F_DUPFD_CLOEXEC, 3));
      running.terminal_to_send = std::move(event.terminal);
      break;
    case sandbox::Event::Kind::kOver: break;
    case sandbox::Event::Kind::kStarted: announce(running); break;
    case sandbox::Event::Kind::kReturned: {
      announce(running);
      Json payload = {{"wall_us", event.wall_us}, {"cpu_us", event.cpu_us}, {"max_rss", event.max_rss}};
      Json notification = Json::object();
      if (event.exit) {
        notification["exit"] = payload["exit"] = *event.exit;
      } else {
        notification["signal"] = payload["signal"] = event.signal;
      }
      add_refusals(payload, event.refused, event.refused_more, call.policy, running.owner);
      if (!event.refused_unknown.empty()) payload["refused_unknown"] = event.refused_unknown;
      const std::string reason = running.cancelled.empty() ? event.reason : running.cancelled;
      if (!reason.empty()) notification["reason"] = reason;
      finish(running, std::move(notification), "", reason, std::move(payload));
      break;
    }
    case sandbox::Event::Kind::kFailed: {
      std::string message = event.what;
      if (!event.remedy.empty()) message += ". " + event.remedy;
      finish(running, {{"exit", 125}, {"reason", "sandbox"}, {"message", message}}, "block", message,
             {{"errno", event.error}});
      break;
    }
    case sandbox::Event::Kind::kEnded: break;
  }
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
  if (payload.contains("refused")) notification["refused"] = payload["refused"].size();
  record.payload = std::move(payload);
  journal_.note(std::move(record));
  if (const auto connection = running.connection.lock()) {
    notification["call"] = running.call->id;
    connection->send(rpc::notification("exec.exit", std::move(notification)));
  }
}

bool Runner::signal(const std::string& call, int number) {
  const auto found = running_.find(call);
  return found != running_.end() && sandbox::order_signal(found->second->control(), 1, number);
}

bool Runner::resize(const std::string& call, unsigned rows, unsigned columns) {
  const auto found = running_.find(call);
  if (found == running_.end() || !found->second->terminal) return false;
  winsize size{};
  size.ws_row = static_cast<unsigned short>(rows);
  size.ws_col = static_cast<unsigned short>(columns);
  return ::ioctl(found->second->terminal.get(), TIOCSWINSZ, &size) == 0;
}

bool Runner::cancel(const std::string& call, const std::string& reason) {
  const auto found = running_.find(call);
  if (found == running_.end()) return false;
  if (found->second->cancelled.empty()) found->second->cancelled = reason;
  return sandbox::order_kill(found->second->control(), reason);
}

bool Runner::belongs_to(const std::string& call, std::uint64_t connection) const {
  const auto found = running_.find(call);
  return found != running_.end() && found->second->connection_id == connection;
}

void Runner::connection_closed(std::uint64_t connection) {
  for (const auto& [id, running] : running_) {
    if (running->connection_id == connection && !running->returned) cancel(id, "cancelled");
  }
}

void Runner::cancel_skill(const std::string& skill) {
  for (const auto& [id, running] : running_) {
    if (running->call->skill == skill) cancel(id, "revoked");
  }
}

void Runner::cancel_all(const std::string& reason) {
  for (const auto& [id, running] : running_) cancel(id, reason);
}

}  // namespace sharkcage
