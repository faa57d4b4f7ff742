// The protocol's methods (docs/protocol.md) for hosts, in its order; those for operators are in
// methods_operator.cc, those that end something in methods_end.cc. Each checks its parameters, does
// one thing and says what came of it.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "common/errors.h"
#include "common/hash.h"
#include "common/text.h"
#include "supervisor/attribution.h"
#include "supervisor/environment.h"
#include "supervisor/judge.h"
#include "supervisor/params.h"
#include "supervisor/shell_line.h"
#include "supervisor/supervisor.h"

namespace sharkcage {
namespace {

constexpr std::size_t kMaxSkillPaths = 1024;

Access session_access(const std::string& text, const char* name) {
  if (text == "rw") return Access::kReadWrite;
  if (text == "ro" || text == "none") return Access::kReadOnly;
  throw UserError(std::string(name) + ": expected \"ro\", \"rw\" or \"none\"");
}

std::optional<sandbox::Terminal> terminal_of(const Params& params) {
  if (!params.has("terminal")) return std::nullopt;
  const Params size(params.object("terminal"));
  return sandbox::Terminal{true, static_cast<unsigned>(size.number_between("rows", 1, 65535)),
                           static_cast<unsigned>(size.number_between("columns", 1, 65535)),
                           size.flag("background")};
}

// The command of exec.prepare and exec.run: a list of arguments, or a line for the shell.
std::vector<std::string> argv_of(const Params& params) {
  if (params.has("command")) return {"/bin/sh", "-c", params.bytes("command")};
  auto argv = params.byte_strings("argv");
  if (argv.empty() || argv.front().empty()) throw UserError("argv: no program");
  return argv;
}

const char* name_of(Places::Install install) {
  static constexpr const char* kNames[] = {"home", "system", "user"};
  return kNames[static_cast<std::size_t>(install)];
}

Json facility_json(const sandbox::Facility& facility) {
  Json out = {{"name", facility.name},
              {"ok", facility.ok},
              {"required", facility.required},
              {"detail", facility.detail}};
  if (!facility.remedy.empty()) out["remedy"] = facility.remedy;
  return out;
}

bool is_stopped(const Call& call) {
  return call.stopped && call.state == CallState::kRunning;
}

Json sandbox_json(const Sandboxes::Shown& shown) {
  return {{"kind", name_of(shown.kind)},       {"session", shown.seat.session},
          {"agent", shown.seat.agent},         {"skill", shown.skill},
          {"workspace", shown.seat.workspace}, {"age_ms", shown.age.count()},
          {"idle_ms", shown.idle.count()},     {"commands", shown.commands},
          {"processes", shown.processes}};
}

}  // namespace

const std::vector<Supervisor::MethodEntry>& Supervisor::protocol() {
  using S = Supervisor;
  static const std::vector<MethodEntry> table = {
      {"hello", Role::kAny, {"client", "versions"}, &S::hello},
      {"status.get", Role::kEither, {}, &S::status},
      {"session.open",
       Role::kHost,
       {"session", "agent", "scope", "workspace", "access", "skills", "read_only"},
       &S::session_open},
      {"session.close", Role::kHost, {"session"}, &S::session_close},
      {"session.end", Role::kEither, {"session"}, &S::session_end},
      {"tool.authorize",
       Role::kHost,
       {"tool", "params", "session", "agent", "run", "call", "outer", "requester", "prompt"},
       &S::tool_authorize},
      {"approval.resolve", Role::kHost, {"request", "token", "decision"}, &S::approval_resolve},
      {"tool.finish", Role::kHost, {"token", "error", "duration_ms"}, &S::tool_finish},
      {"exec.prepare",
       Role::kHost,
       {"session", "command", "argv", "token", "kind", "workdir", "env", "terminal"},
       &S::exec_prepare},
      {"exec.open", Role::kHost, {"ticket", "argv", "terminal"}, &S::exec_open, true},
      {"exec.run",
       Role::kHost,
       {"argv", "skill", "session", "workspace", "workdir", "env", "timeout_ms", "terminal"},
       &S::exec_run,
       true},
      {"exec.signal", Role::kHost, {"call", "signal"}, &S::exec_signal},
      {"exec.resize", Role::kHost, {"call", "rows", "columns"}, &S::exec_resize},
      {"exec.foreground", Role::kHost, {"call", "on"}, &S::exec_foreground},
      {"call.cancel", Role::kEither, {"call"}, &S::call_cancel},
      {"skill.add", Role::kOperator, {"path"}, &S::skill_add},
      {"skill.list", Role::kOperator, {}, &S::skill_list},
      {"skill.show", Role::kOperator, {"name"}, &S::skill_show},
      {"skill.remove", Role::kOperator, {"name"}, &S::skill_remove},
      {"skill.approve", Role::kOperator, {"name", "content_digest", "only"}, &S::skill_approve},
      {"skill.revoke", Role::kOperator, {"name"}, &S::skill_revoke},
      {"approval.list", Role::kOperator, {}, &S::approval_list},
      {"approval.deny", Role::kOperator, {"request"}, &S::approval_deny},
      {"audit.query",
       Role::kOperator,
       {"blocked", "skill", "tool", "session", "since_ms", "tail", "after", "limit"},
       &S::audit_query},
      {"supervisor.stop", Role::kOperator, {}, &S::stop_requested},
  };
  return table;
}

std::map<std::string, Method> Supervisor::methods() {
  std::map<std::string, Method> out;
  for (const auto& entry : protocol()) {
    const bool decides = entry.role == Role::kOperator || entry.name == "approval.resolve";
    const auto run = [this, function = entry.function, decides](MethodCall call) {
      return decides ? deciding(function, std::move(call)) : (this->*function)(std::move(call));
    };
    out[entry.name] = {entry.role, entry.params, entry.takes_fds, run};
  }
  return out;
}

asio::awaitable<Json> Supervisor::deciding(
    asio::awaitable<Json> (Supervisor::*function)(MethodCall), MethodCall call) {
  try {
    Json answer = co_await (this->*function)(std::move(call));
    outside_.refresh();
    co_return answer;
  } catch (...) {
    outside_.refresh();
    throw;
  }
}

asio::awaitable<Json> Supervisor::hello(MethodCall call) {
  const Params params(call.params);
  params.text("client");
  const Json& versions = call.params.value("versions", Json::array());
  if (!versions.is_array() ||
      std::find(versions.begin(), versions.end(), Json(rpc::kProtocolVersion)) == versions.end()) {
    throw MethodError(rpc::kVersion, "This supervisor speaks protocol version 1 only",
                      "Install the same version of Sharkcage on both sides.");
  }
  Json roles = Json::array();
  if (call.connection->roles.host) roles.push_back("host");
  if (call.connection->roles.operator_) roles.push_back("operator");
  co_return Json{{"version", rpc::kProtocolVersion},
                 {"server", std::string("sharkcaged ") + kVersion},
                 {"instance", instance_},
                 {"roles", roles},
                 {"install", name_of(places_.install)}};
}

asio::awaitable<Json> Supervisor::status(MethodCall) {
  using namespace std::chrono;
  const auto now = steady_clock::now();
  const auto now_ms = duration_cast<milliseconds>(now.time_since_epoch()).count();
  Json calls = Json::array();
  for (const auto& call : calls_.all()) {
    if (call->state == CallState::kFinished) continue;
    calls.push_back({{"call", call->id},
                     {"session", call->session},
                     {"skill", call->skill},
                     {"tool", call->tool},
                     {"state", is_stopped(*call) ? "stopped" : name_of(call->state)},
                     {"refused", call->refused + call->refused_hosts.size()},
                     {"age_ms", now_ms - call->started_ms}});
  }
  Json sandboxes = Json::array();
  for (const auto& shown : sandboxes_.list()) sandboxes.push_back(sandbox_json(shown));
  const auto process = [](const Processes::Health& health) {
    return Json{{"pid", health.pid}, {"restarts", health.restarts}};
  };
  const Skills::Count skills = skills_.count();
  Json facilities = Json::array();
  for (const auto& facility : facilities_) facilities.push_back(facility_json(facility));
  const audit::Head head = log_.head();
  const std::string failure = log_.failure();
  Json audit_state = {{"records", head.seq}, {"head", head.text()}, {"healthy", failure.empty()}};
  if (!failure.empty()) audit_state["reason"] = failure;
  co_return Json{
      {"server", std::string("sharkcaged ") + kVersion},
      {"instance", instance_},
      {"pid", ::getpid()},
      {"install", name_of(places_.install)},
      {"uptime_ms", duration_cast<milliseconds>(now - started_).count()},
      {"calls", calls},
      {"sessions", sessions_.size()},
      {"sandboxes", sandboxes},
      {"processes",
       {{"launcher", process(processes_.launcher())}, {"egress", process(processes_.egress())}}},
      {"audit", audit_state},
      {"skills",
       {{"installed", skills.installed},
        {"approved", skills.approved},
        {"pending", skills_.pending().size()}}},
      {"facilities", facilities},
      {"egress_clients", outside_.to_json()},
      {"unknown_names", unknown_names()}};
}

// What a misspelt name denies is denied to nobody.
Json Supervisor::unknown_names() {
  Json places = Json::array();
  const auto add = [&](const char* what, const std::string& name, const std::string& place) {
    places.push_back({{"what", what}, {"name", name}, {"in", place}});
  };
  if (privileged_) {
    for (const auto& [place, peers] :
         {std::pair{"hosts", &config_.hosts}, {"operators", &config_.operators}}) {
      const Peers unknown = unknown_of(*peers);
      for (const auto& user : unknown.users) add("user", user, std::string(place) + ".users");
      for (const auto& group : unknown.groups) add("group", group, std::string(place) + ".groups");
    }
  }
  const auto look_up = [&](const std::string& name, const std::string& place) {
    if (name != kAgent && !skills_.get(name)) add("skill", name, place);
  };
  for (const auto& [name, skill] : config_.network.skills) look_up(name, "network.skills");
  for (const auto& [name, client] : config_.egress_clients) {
    look_up(client.skill, "egress_clients." + name + ".skill");
  }
  return places;
}

asio::awaitable<Json> Supervisor::session_open(MethodCall call) {
  const Params params(call.params);
  Session session;
  session.key = params.text("session");
  session.agent = params.text_or("agent", "");
  session.scope = params.text_or("scope", "");
  session.owner = call.connection->peer.uid;
  session.access = session_access(params.text("access"), "access");
  session.workspace = workspace_of(params.path("workspace"), call.connection->peer, privileged_);
  // "none": the host hands out a private workspace of the sandbox's own, which is writable.
  if (params.text("access") == "none") session.access = Access::kReadWrite;
  for (const auto& item : params.objects("skills")) {
    const Params skill(item);
    session.skills.push_back({skill.text("name"), normal_path(skill.path("path"), "/")});
  }
  for (const auto& item : params.objects("read_only")) {
    const Params mount(item);
    session.read_only.push_back(
        {normal_path(mount.path("source"), "/"), normal_path(mount.path("path"), "/")});
  }
  if (session.skills.size() + session.read_only.size() > kMaxSkillPaths) {
    throw UserError("skills: more than " + std::to_string(kMaxSkillPaths) + " directories");
  }
  std::optional<UserError> refusal;
  try {
    const Ground ground = authorizer_.ground_of(session.owner);
    check_workspace(session.workspace, session.access, ground.home, ground.protected_);
  } catch (const UserError& error) {
    refusal = error;
  }
  if (refusal) {
    const Json payload = {{"session", session.key}, {"uid", session.owner}};
    co_await refuse("session", "", refusal->what(), payload);
    throw MethodError(rpc::kBlocked, refusal->what(), refusal->remedy());
  }
  const Session& open = sessions_.open(std::move(session));
  co_return Json{{"runtime", "sharkcage-" + sha256_hex(open.key).substr(0, 12)},
                 {"workdir", open.workspace}};
}

asio::awaitable<Json> Supervisor::session_close(MethodCall call) {
  const uid_t owner = call.connection->peer.uid;
  const std::string key = Params(call.params).text("session");
  const Session* session = sessions_.find(owner, key);
  const std::string scope = session == nullptr ? std::string() : session->warm_scope();
  sessions_.close(owner, key);
  if (!scope.empty() && !sessions_.uses(owner, scope)) {
    sandboxes_.end_scope(owner, scope, "the session was closed");
  }
  co_return Json::object();
}

asio::awaitable<Json> Supervisor::tool_authorize(MethodCall call) {
  const Params params(call.params);
  ToolCall tool;
  tool.tool = params.text("tool");
  tool.params = params.object("params");
  tool.session = params.text("session");
  tool.agent = params.text_or("agent", "");
  tool.run = params.text_or("run", "");
  tool.host_call = params.text_or("call", "");
  tool.outer = params.flag("outer");
  tool.prompt = params.flag("prompt");
  tool.owner = call.connection->peer.uid;
  if (stopping_) throw MethodError(rpc::kUnavailable, "The supervisor is stopping");
  co_return co_await authorizer_.authorize(std::move(tool));
}

asio::awaitable<Json> Supervisor::tool_finish(MethodCall request) {
  const Params params(request.params);
  const auto call = calls_.by_token(params.text("token"));
  if (!call || call->owner != request.connection->peer.uid) co_return Json::object();
  // What ran in a sandbox has an outcome of its own, which is not the host's to tell.
  const bool ran = call->state == CallState::kRunning || call->state == CallState::kReturned;
  if (!ran && call->state != CallState::kFinished) {
    audit::Record record = call->record("outcome");
    record.reason = params.text_or("error", "");
    if (const auto duration = params.number("duration_ms")) {
      record.payload["duration_ms"] = *duration;
    }
    record.payload["reported_by"] = "host";
    journal_.note(std::move(record));
  }
  if (!ran) {
    tickets_.drop_call(call->id);
    calls_.forget(*call);
  }
  co_return Json::object();
}

asio::awaitable<Json> Supervisor::approval_resolve(MethodCall request) {
  const Params params(request.params);
  const auto call = calls_.by_token(params.text("token"));
  if (!call || call->owner != request.connection->peer.uid ||
      call->request != params.text("request")) {
    throw MethodError(rpc::kNotFound, "No call of yours waits for this request");
  }
  co_return co_await authorizer_.resolve(call, params.text("decision"));
}

// Records a refusal that no call's record tells of.
asio::awaitable<void> Supervisor::refuse(std::string kind, std::string tool, std::string reason,
                                         Json payload) {
  audit::Record record;
  record.kind = std::move(kind);
  record.tool = std::move(tool);
  record.decision = "block";
  record.reason = std::move(reason);
  record.payload = std::move(payload);
  co_await journal_.write(std::move(record));
}

// The call that the given token stands for, if it may run this very command now.
std::shared_ptr<Call> Supervisor::prepared_call(const Json& json, uid_t owner) {
  const Params params(json);
  std::string token = params.text_or("token", "");
  if (token.empty() && params.has("env")) {
    const auto environment = params.environment("env");
    const auto found = environment.find("SHARKCAGE_CALL");
    if (found != environment.end()) token = found->second;
  }
  if (token.empty()) throw UserError("The command carries no call token, so nothing authorized it");
  const auto call = calls_.by_token(token);
  if (!call || call->owner != owner || call->session != params.text("session")) {
    throw UserError("The command's call token is unknown here");
  }
  switch (call->state) {
    case CallState::kAllowed:
      break;
    case CallState::kAsking:
      throw UserError("A person has been asked about this call and has not decided yet");
    default:
      throw UserError("The command's call token was used before");
  }
  return call;
}

void Supervisor::check_against_verdict(const Call& call, const Json& json,
                                       const std::string& workdir) const {
  const Params params(json);
  if (call.tool != "exec") {
    throw UserError("The call was authorized for the tool \"" + printable(call.tool) +
                    "\", not for a command");
  }
  if (!params.has("command") || params.bytes("command") != call.command) {
    throw UserError("The command is not the one that was authorized");
  }
  if (workdir != call.workdir) {
    throw UserError("The working directory " + printable(workdir) +
                    " is not the one that was authorized, " + printable(call.workdir));
  }
}

asio::awaitable<Json> Supervisor::exec_prepare(MethodCall request) {
  const Params params(request.params);
  const uid_t owner = request.connection->peer.uid;
  const std::string kind = params.text_or("kind", "exec");
  const std::string key = params.text("session");
  const Session* session = sessions_.find(owner, key);
  if (session == nullptr) throw MethodError(rpc::kNotFound, "The session has no sandbox here");
  if (params.has("command") == params.has("argv")) {
    throw UserError("Exactly one of command and argv must be given");
  }
  PreparedCommand command;
  command.owner = owner;
  command.argv = argv_of(params);
  if (params.has("command")) command.words = words_without_shell(command.argv.back());
  command.environment = params.environment("env");
  command.workdir = normal_path(params.text_or("workdir", session->workspace), session->workspace);
  command.terminal = params.flag("terminal");

  std::shared_ptr<Call> call;
  std::string refusal;
  if (kind == "bridge") {
    call = co_await authorizer_.authorize_bridge(*session, command.argv);
    call->workdir = command.workdir;
  } else if (kind == "exec") {
    try {
      call = prepared_call(request.params, owner);
      check_against_verdict(*call, request.params, command.workdir);
    } catch (const UserError& error) {
      refusal = error.full();
    }
    if (!refusal.empty()) {
      if (call) calls_.forget(*call);
      const Json payload = {{"session", key}, {"argv", command.argv}};
      co_await refuse("ticket", "exec", refusal, payload);
      throw MethodError(rpc::kBlocked, refusal);
    }
  } else {
    throw UserError("kind: expected \"exec\" or \"bridge\"");
  }
  command.call = call->id;
  const std::string ticket = tickets_.issue(std::move(command), Tickets::Clock::now());
  call->state = CallState::kPrepared;
  co_return Json{{"ticket", ticket},
                 {"call", call->id},
                 {"expires_ms", std::chrono::milliseconds(kTicketLife).count()}};
}

// An allowed command that could not be made ready: nothing runs, the log says why, the call is
// over.
asio::awaitable<void> Supervisor::not_started(std::shared_ptr<Call> call, MethodError failure) {
  audit::Record record = call->record("outcome");
  record.decision = "block";
  record.reason = failure.what();
  record.policy = call->policy_digest;
  calls_.forget(*call);
  co_await journal_.write(std::move(record));
  throw failure;
}

asio::awaitable<Json> Supervisor::exec_open(MethodCall request) {
  const Params params(request.params);
  const auto terminal = terminal_of(params);
  std::string refusal;
  PreparedCommand command;
  std::shared_ptr<Call> call;
  try {
    command = tickets_.redeem({params.text_or("ticket", ""), request.connection->peer.uid,
                               params.byte_strings("argv"), terminal.has_value()},
                              Tickets::Clock::now());
    call = calls_.by_id(command.call);
    if (!call || call->state != CallState::kPrepared) {
      throw UserError("The call of this ticket is over");
    }
  } catch (const UserError& error) {
    refusal = error.full();
  }
  if (!refusal.empty()) {
    const Json payload = {{"uid", request.connection->peer.uid}};
    co_await refuse("ticket", "exec", refusal, payload);
    throw MethodError(rpc::kBlocked, refusal);
  }
  if (stopping_) throw MethodError(rpc::kUnavailable, "The supervisor is stopping");
  if (command.words) command.argv = std::move(*command.words);
  std::optional<MethodError> failure;
  try {
    runner_.stage(call, std::move(command), request.connection, std::move(request.fds),
                  terminal.value_or(sandbox::Terminal{}));
    runner_.go(call->id);  // its verdict was durable when the host got it
  } catch (const MethodError& error) {
    failure = error;
  }
  if (failure) co_await not_started(call, *failure);
  co_return Json{{"call", call->id}};
}

asio::awaitable<Json> Supervisor::exec_run(MethodCall request) {
  const Params params(request.params);
  RunCall run;
  run.owner = request.connection->peer.uid;
  run.skill = params.text_or("skill", "");
  run.session = params.text_or("session", "");
  run.argv = argv_of(params);
  const auto terminal = terminal_of(params);
  if (params.has("workspace")) {
    const Params workspace(params.object("workspace"));
    run.workspace = workspace_of(workspace.path("path"), request.connection->peer, privileged_);
    run.access = session_access(workspace.text_or("access", "rw"), "workspace.access");
  }
  run.workdir = normal_path(params.path("workdir"), "/");
  if (params.has("timeout_ms")) {
    run.timeout =
        std::chrono::milliseconds(params.number_between("timeout_ms", 1, 366ull * 86'400'000));
  }
  PreparedCommand command;
  command.owner = run.owner;
  command.argv = run.argv;
  command.workdir = run.workdir;
  command.terminal = terminal.has_value();
  auto environment = params.environment("env");
  if (stopping_) throw MethodError(rpc::kUnavailable, "The supervisor is stopping");

  std::shared_ptr<Call> staged;
  std::optional<MethodError> failure;
  const auto stage = [&](const std::shared_ptr<Call>& call) {
    // A person's shell holds more than a command should see: only what was approved goes in.
    const auto& approved = call->policy.environment;
    std::erase_if(environment, [&](const auto& variable) {
      return !describes_terminal(variable.first) &&
             std::find(approved.begin(), approved.end(), variable.first) == approved.end();
    });
    command.environment = std::move(environment);
    try {
      runner_.stage(call, std::move(command), request.connection, std::move(request.fds),
                    terminal.value_or(sandbox::Terminal{}));
      staged = call;
    } catch (const MethodError& error) {
      failure = error;
    } catch (const std::exception& error) {
      failure.emplace(rpc::kInternalError, error.what());
    }
  };
  std::shared_ptr<Call> call;
  try {
    call = co_await authorizer_.authorize_run(std::move(run), stage);
  } catch (...) {
    if (staged) runner_.drop(staged->id);
    throw;
  }
  // What may have happened while the verdict was written.
  if (!request.connection->open() || stopping_) {
    failure.emplace(rpc::kUnavailable, "The client is gone, or the supervisor stops");
  } else if (!calls_.holds(*call)) {
    failure.emplace(rpc::kBlocked, "The approval was revoked meanwhile");
  } else if (!failure && !runner_.go(call->id)) {
    failure.emplace(rpc::kUnavailable, "The call was cancelled before it began");
  }
  if (failure) runner_.drop(call->id);
  if (failure) co_await not_started(call, *failure);
  co_return Json{{"call", call->id}, {"skill", call->skill}, {"policy", call->policy_digest}};
}

asio::awaitable<Json> Supervisor::exec_signal(MethodCall request) {
  const Params params(request.params);
  const std::string call = params.text("call");
  const auto number = static_cast<int>(params.number_between("signal", 1, 31));
  if (!runner_.belongs_to(call, request.connection->id)) {
    throw MethodError(rpc::kNotFound, "No such call of this connection runs");
  }
  runner_.signal(call, number);
  co_return Json::object();
}

asio::awaitable<Json> Supervisor::exec_resize(MethodCall request) {
  const Params params(request.params);
  const std::string call = params.text("call");
  const auto rows = static_cast<unsigned>(params.number_between("rows", 1, 65535));
  const auto columns = static_cast<unsigned>(params.number_between("columns", 1, 65535));
  if (!runner_.belongs_to(call, request.connection->id)) {
    throw MethodError(rpc::kNotFound, "No such call of this connection runs");
  }
  runner_.resize(call, rows, columns);
  co_return Json::object();
}

asio::awaitable<Json> Supervisor::exec_foreground(MethodCall request) {
  const Params params(request.params);
  const std::string call = params.text("call");
  if (!runner_.belongs_to(call, request.connection->id)) {
    throw MethodError(rpc::kNotFound, "No such call of this connection runs");
  }
  runner_.foreground(call, params.flag("on"));
  co_return Json::object();
}

}  // namespace sharkcage
