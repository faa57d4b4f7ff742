#include "supervisor/authorizer.h"

#include <sys/stat.h>

#include <algorithm>

#include "capabilities/derive.h"
#include "capabilities/destinations.h"
#include "capabilities/hosts.h"
#include "capabilities/prompt.h"
#include "common/errors.h"
#include "common/text.h"
#include "supervisor/attribution.h"
#include "supervisor/server.h"
#include "supervisor/tools.h"

namespace sharkcage {
namespace {

constexpr const char* kCliSession = "cli";

bool is_directory(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

std::string text_member(const Json& object, const char* name) {
  if (!object.is_object()) return {};
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// True unless the member is absent, null, false or empty.
bool is_set(const Json& object, const char* name) {
  if (!object.is_object()) return false;
  const auto found = object.find(name);
  return found != object.end() && !found->is_null() && *found != Json(false) && *found != Json("");
}

std::string expand_home(const std::string& path, const std::string& home) {
  if (path == "~") return home;
  return path.starts_with("~/") ? home + path.substr(1) : path;
}

const char* name_of(VerdictKind kind) {
  switch (kind) {
    case VerdictKind::kAllow:
      return "allow";
    case VerdictKind::kBlock:
      return "block";
    case VerdictKind::kAsk:
      return "ask";
  }
  return "block";
}

// Where an http(s) URL leads, or nothing for anything that is not plainly one.
std::optional<Destination> destination_of(const std::string& url) {
  const bool secure = url.starts_with("https://");
  if (!secure && !url.starts_with("http://")) return std::nullopt;
  const std::size_t from = secure ? 8 : 7;
  const std::string authority = url.substr(from, url.find_first_of("/?#\\", from) - from);
  if (authority.find('@') != std::string::npos) return std::nullopt;
  try {
    const HostPattern pattern = parse_host(authority, "url");
    const unsigned port = pattern.port.value_or(secure ? 443 : 80);
    if (pattern.kind != HostPattern::Kind::kName && pattern.kind != HostPattern::Kind::kAddress) {
      return std::nullopt;
    }
    const auto destination = destination_from_text(pattern.host, port);
    const auto* found = std::get_if<Destination>(&destination);
    return found == nullptr ? std::nullopt : std::optional(*found);
  } catch (const UserError&) {
    return std::nullopt;
  }
}

}  // namespace

Authorizer::Authorizer(const Config& config, const Places& places, Skills& skills,
                       Sessions& sessions, Calls& calls, Journal& journal)
    : config_(config),
      skills_(skills),
      sessions_(sessions),
      calls_(calls),
      journal_(journal),
      policies_(config, places) {}

asio::awaitable<Json> Authorizer::authorize(ToolCall call) {
  // What runs in a sandbox wraps nothing: it is judged as itself, whatever the host says of it.
  if (is_one_of(call.tool, kSandboxedTools)) call.outer = false;
  const Session* session = sessions_.find(call.owner, call.session);
  std::string workdir;
  Verdict verdict = judge(call, session, workdir);

  auto judged = calls_.create();
  judged->owner = call.owner;
  judged->session = call.session;
  judged->agent = call.agent;
  judged->run = call.run;
  judged->tool = call.tool;
  judged->skill = verdict.skill;
  judged->content_digest = verdict.content_digest;
  judged->command = call.tool == "exec" ? text_member(call.params, "command") : std::string();
  judged->workdir = workdir;
  judged->request = verdict.request;
  if (session != nullptr) judged->scope = session->warm_scope();
  // Asked about means approved later, with what is approved then; the policy is derived then too.
  if (verdict.kind == VerdictKind::kAllow && session != nullptr &&
      is_one_of(call.tool, kSandboxedTools)) {
    try {
      set_policy(*judged, verdict, *session, std::nullopt);
    } catch (const UserError& error) {
      verdict.kind = VerdictKind::kBlock;
      verdict.reason = error.full();
    }
  }
  judged->state = verdict.kind == VerdictKind::kAllow ? CallState::kAllowed
                  : verdict.kind == VerdictKind::kAsk ? CallState::kAsking
                                                      : CallState::kFinished;
  judged->params = judged_params(call, *judged);

  audit::Record record = judged->record("verdict");
  record.decision = name_of(verdict.kind);
  record.reason = verdict.reason;
  record.policy = judged->policy_digest;
  record.payload = {{"params", call.params},
                    {"attribution", verdict.rule},
                    {"host_call", call.host_call},
                    {"run", call.run}};
  if (!verdict.request.empty()) record.payload["request"] = verdict.request;
  if (!verdict.content_digest.empty()) record.payload["content"] = verdict.content_digest;
  try {
    co_await journal_.write(std::move(record));
  } catch (const JournalError&) {
    calls_.forget(*judged);
    throw;
  }

  if (verdict.kind == VerdictKind::kAllow && !calls_.holds(*judged)) {
    verdict.kind = VerdictKind::kBlock;
    verdict.reason = "The approval of \"" + verdict.skill + "\" was revoked meanwhile.";
  }
  Json answer = {{"verdict", name_of(verdict.kind)}, {"skill", verdict.skill}};
  if (verdict.kind == VerdictKind::kBlock) {
    answer["reason"] = verdict.reason;
    if (!verdict.request.empty()) answer["request"] = verdict.request;
    calls_.forget(*judged);
    co_return answer;
  }
  session = sessions_.find(call.owner, call.session);  // it may have been closed meanwhile
  if (verdict.kind == VerdictKind::kAllow && call.tool == "read" && session != nullptr) {
    const std::string path = normal_path(
        expand_home(text_member(call.params, "path"), policies_.home_of_owner(call.owner)),
        session->workspace);
    const std::string document = skill_of_document(*view_of(session), path);
    if (!document.empty()) sessions_.note_read(call.session, call.run, document);
  }
  answer["token"] = judged->token;
  answer["params"] = judged->params;
  if (verdict.kind == VerdictKind::kAsk) {
    answer["approval"] = verdict.prompt;
    answer["approval"]["request"] = verdict.request;
    answer["approval"]["decisions"] = {"allow-once", "allow-always", "deny"};
  }
  co_return answer;
}

Verdict Authorizer::judge(const ToolCall& call, const Session* session, std::string& workdir) {
  AttributionInput input;
  input.tool = call.tool;
  input.command = text_member(call.params, "command");
  const std::string base = session == nullptr ? "/" : session->workspace;
  const std::string asked =
      expand_home(text_member(call.params, "workdir"), policies_.home_of_owner(call.owner));
  workdir = input.workdir = normal_path(asked.empty() ? base : asked, base);
  input.declared_by = declaring_skill(call.tool);
  input.last_read = sessions_.last_read(call.session, call.run);
  const Attribution found = attribute(input, *view_of(session));

  Verdict verdict;
  verdict.skill = found.skill;
  verdict.rule = found.rule;
  if (call.outer) {
    verdict.kind = VerdictKind::kAllow;
    verdict.rule = "wrapper";
    return verdict;
  }
  if (const auto refusal = refuse_by_form(call, session)) {
    verdict.reason = *refusal;
    return verdict;
  }
  if (!found.registered) {
    verdict.reason =
        "The skill \"" + printable(found.skill) +
        "\" is not registered with Sharkcage. Register it with: sc skill add DIRECTORY";
    return verdict;
  }
  if (!input.declared_by.empty()) {
    // A name in a manifest must not let a tool of the host pass that no sandbox holds.
    verdict.reason = "The tool \"" + printable(call.tool) + "\" is declared by the skill \"" +
                     found.skill + "\", and there is no sandbox for tools that skills bring.";
    return verdict;
  }
  if (found.skill != kAgent) return judge_skill(found.skill, found.rule, call);
  if (!is_one_of(call.tool, kSandboxedTools)) return judge_gateway_tool(call, found.rule);
  verdict.kind = VerdictKind::kAllow;
  return verdict;
}

// What no approval changes.
std::optional<std::string> Authorizer::refuse_by_form(const ToolCall& call,
                                                      const Session* session) const {
  const bool by_name = std::find(config_.allow_unsandboxed.begin(), config_.allow_unsandboxed.end(),
                                 call.tool) != config_.allow_unsandboxed.end();
  if (!is_one_of(call.tool, kSandboxedTools)) return std::nullopt;
  if (call.tool == "exec") {
    if (is_set(call.params, "elevated")) {
      return "exec with elevation runs outside the sandbox. Run the command without \"elevated\".";
    }
    const std::string host = text_member(call.params, "host");
    if (!host.empty() && host != "auto" && host != "sandbox") {
      return "exec on the host \"" + printable(host) +
             "\" runs outside the sandbox. Run the command with host \"sandbox\".";
    }
    if (is_set(call.params, "node")) {
      return "exec on another node runs outside the sandbox. Run the command without \"node\".";
    }
  }
  if (session == nullptr) {
    if (by_name) return std::nullopt;
    return "This session has no Sharkcage sandbox, so \"" + call.tool +
           "\" would run unprotected. Turn the sandbox on for it (agents.defaults.sandbox.mode "
           "\"all\", "
           "backend \"sharkcage\").";
  }
  const bool reads = is_one_of(call.tool, kReadingTools);
  const bool writes = is_one_of(call.tool, kWritingTools);
  if (!reads && !writes) return std::nullopt;
  const std::string asked = text_member(call.params, "path");
  const std::string path =
      normal_path(expand_home(asked, policies_.home_of_owner(call.owner)), session->workspace);
  const auto in_skill = [&](const SkillPlace& skill) { return lies_in(path, skill.path); };
  const bool inside = lies_in(path, session->workspace);
  const auto in_mount = [&](const HostMount& mount) { return lies_in(path, mount.path); };
  const bool shown = std::any_of(session->skills.begin(), session->skills.end(), in_skill) ||
                     std::any_of(session->read_only.begin(), session->read_only.end(), in_mount);
  if (reads && (inside || shown)) return std::nullopt;
  if (writes && inside && session->access == Access::kReadWrite) return std::nullopt;
  return std::string(reads ? "Reading " : "Writing ") + printable(path) +
         " is not granted: it is outside the session's workspace " + printable(session->workspace) +
         ".";
}

Verdict Authorizer::judge_skill(const std::string& skill, const std::string& rule,
                                const ToolCall& call) {
  Verdict verdict;
  verdict.skill = skill;
  verdict.rule = rule;
  std::string digest;
  try {
    digest = skills_.current(skill)->content_digest;
  } catch (const std::exception& error) {
    verdict.reason = "The skill \"" + skill + "\" cannot be read: " + error.what();
    return verdict;
  }
  verdict.content_digest = digest;
  const Standing standing = skills_.standing(skill, digest);
  if (standing.kind == Standing::Kind::kApproved) {
    verdict.kind = VerdictKind::kAllow;
    verdict.effects = standing.approval->effects;
    return verdict;
  }
  const bool changed = standing.kind == Standing::Kind::kChanged;
  const Request request = skills_.ask(skill, call.session, call.tool, call.owner);
  verdict.request = request.id;
  verdict.reason = "The skill \"" + skill + "\" " +
                   (changed ? "has changed since it was approved" : "is not approved") +
                   ". A person can approve it with: sc approve " + skill;
  if (!call.prompt) return verdict;
  const auto found = skills_.find(skill);
  const Prompt prompt =
      approval_prompt(found->manifest, request.asked, changed, config_.limits, skills_.catalogue());
  verdict.kind = VerdictKind::kAsk;
  verdict.prompt = {
      {"title", prompt.title}, {"description", prompt.description}, {"severity", prompt.severity}};
  return verdict;
}

// A tool that works in the host itself: no sandbox holds it, so it is allowed by name or by person.
Verdict Authorizer::judge_gateway_tool(const ToolCall& call, const std::string& rule) {
  Verdict verdict;
  verdict.skill = std::string(kAgent);
  verdict.rule = rule;
  const auto& names = config_.allow_unsandboxed;
  if (is_one_of(call.tool, kHarmlessTools) ||
      std::find(names.begin(), names.end(), call.tool) != names.end()) {
    verdict.kind = VerdictKind::kAllow;
    return verdict;
  }
  if (is_one_of(call.tool, kFetchingTools)) {
    const std::string url = text_member(call.params, "url");
    if (may_fetch(call.tool, url)) {
      verdict.kind = VerdictKind::kAllow;
      return verdict;
    }
    verdict.reason = "Fetching " + printable(url) +
                     " is not granted. Add its host under \"services\" in the configuration.";
    return verdict;
  }
  verdict.reason = "The tool \"" + printable(call.tool) +
                   "\" works outside the sandbox and nobody allowed it. Add it to "
                   "\"allow_unsandboxed\" in the configuration to allow it.";
  return verdict;
}

// By the rules of the baseline. What a name resolves to, and where a server redirects to, is between
// the host and the network.
bool Authorizer::may_fetch(const std::string& tool, const std::string& url) const {
  const std::string agent(kAgent);
  const auto destination = destination_of(url);
  if (!destination || !config_.network.reach_of(agent).allows_tool(tool)) return false;
  std::vector<std::string> denied;
  for (const auto* list : {&config_.deny_hosts, &config_.network.denied_to(agent)}) {
    for (const auto& word : *list) denied.push_back(parse_host(word, "deny_hosts").text());
  }
  const DestinationRules rules(service_rules(config_.services), denied);
  const auto match = rules.match(*destination);
  if (match.rules.empty()) return false;
  return !destination->literal || rules.judge(match, *destination->literal, false).allowed;
}

asio::awaitable<Json> Authorizer::resolve(std::shared_ptr<Call> call, std::string decision) {
  const auto request = skills_.find_request(call->request);
  if (call->state != CallState::kAsking || !request) {
    throw MethodError(rpc::kNotFound, "This call waits for no decision");
  }
  call->state = CallState::kFinished;  // nothing else may decide it while the log is written
  Verdict verdict;
  verdict.skill = call->skill;
  verdict.content_digest = request->content_digest;
  const std::string who = "user id " + std::to_string(call->owner) + " through the host's prompt";
  try {
    if (decision == "allow-always") {
      verdict.effects = skills_
                            .approve(call->skill, request->content_digest, {}, who,
                                     policies_.ground_of(call->owner))
                            .effects;
      verdict.kind = VerdictKind::kAllow;
    } else if (decision == "allow-once") {
      verdict.effects =
          sharkcage::resolve(request->asked, skills_.catalogue(), policies_.ground_of(call->owner));
      skills_.settle(request->id, RequestState::kApproved);
      verdict.kind = VerdictKind::kAllow;
      // What this one call may do, no later one may find there.
      call->scope.clear();
    } else if (decision == "deny") {
      skills_.settle(request->id, RequestState::kDenied);
      verdict.reason = "A person denied it.";
    } else if (decision == "timeout" || decision == "cancelled") {
      verdict.reason =
          "Nobody decided in time; the request stays pending. Settle it with: sc approve " +
          call->skill;
    } else {
      throw MethodError(rpc::kInvalidParams,
                        "decision: unknown value \"" + printable(decision) + "\"");
    }
    if (verdict.kind == VerdictKind::kAllow) {
      const Session* session = sessions_.find(call->owner, call->session);
      if (session == nullptr) throw UserError("The session is gone.");
      // What is allowed once is in no registry.
      auto derived = policies_.derive_for(subject_of(verdict, call->tool, *session), *session, std::nullopt);
      call->policy = std::move(derived.policy);
      call->policy_digest = std::move(derived.digest);
      call->no_network = std::move(derived.no_network);
    }
  } catch (const UserError& error) {
    verdict.kind = VerdictKind::kBlock;
    verdict.reason = error.full();
  }

  audit::Record record = call->record("approval");
  record.decision = name_of(verdict.kind);
  record.reason = verdict.reason;
  if (verdict.kind == VerdictKind::kAllow) record.policy = call->policy_digest;
  record.payload = {{"decision", decision},
                    {"request", request->id},
                    {"by", who},
                    {"content", request->content_digest}};
  co_await journal_.write(std::move(record));
  if (verdict.kind == VerdictKind::kAllow) {
    call->state = CallState::kAllowed;
    co_return Json{{"verdict", "allow"}};
  }
  calls_.forget(*call);
  co_return Json{{"verdict", "block"}, {"reason", verdict.reason}};
}

asio::awaitable<std::shared_ptr<Call>> Authorizer::authorize_run(RunCall run, Meanwhile meanwhile) {
  Session session;
  session.key = run.session.empty() ? kCliSession : run.session;
  session.owner = run.owner;
  session.workspace = run.workspace;
  session.access = run.access;
  ToolCall call;
  call.tool = "exec";
  call.session = session.key;
  call.owner = run.owner;

  Verdict verdict;
  if (run.skill.empty() || run.skill == kAgent) {
    verdict.kind = VerdictKind::kAllow;
    verdict.skill = std::string(kAgent);
    verdict.rule = "baseline";
  } else if (!skills_.find(run.skill)) {
    verdict.skill = run.skill;
    verdict.rule = "named";
    verdict.reason =
        "There is no skill \"" + printable(run.skill) + "\". Add it with: sc skill add DIRECTORY";
  } else {
    verdict = judge_skill(run.skill, "named", call);
  }

  auto judged = calls_.create();
  judged->owner = run.owner;
  judged->session = session.key;
  judged->tool = "exec";
  judged->skill = verdict.skill;
  judged->content_digest = verdict.content_digest;
  judged->workdir = run.workdir;
  if (!run.session.empty()) judged->scope = "run " + run.session;
  if (verdict.kind == VerdictKind::kAllow) {
    try {
      set_policy(*judged, verdict, session, run.timeout);
    } catch (const UserError& error) {
      verdict.kind = VerdictKind::kBlock;
      verdict.reason = error.full();
    }
  }
  audit::Record record = judged->record("verdict");
  record.decision = name_of(verdict.kind);
  record.reason = verdict.reason;
  if (verdict.kind == VerdictKind::kAllow) record.policy = judged->policy_digest;
  record.payload = {{"argv", run.argv}, {"workdir", run.workdir}, {"attribution", verdict.rule}};
  if (!verdict.request.empty()) record.payload["request"] = verdict.request;
  const bool allowed = verdict.kind == VerdictKind::kAllow;
  if (!allowed) calls_.forget(*judged);
  std::function<void()> prepare;
  if (allowed) prepare = [&] { meanwhile(judged); };
  co_await journal_.write(std::move(record), std::move(prepare));
  if (!allowed) {
    Json data = Json::object();
    if (!verdict.request.empty()) data["request"] = verdict.request;
    throw MethodError(rpc::Error{rpc::kBlocked, verdict.reason, data});
  }
  co_return judged;
}

asio::awaitable<std::shared_ptr<Call>> Authorizer::authorize_bridge(
    const Session& session, const std::vector<std::string>& argv) {
  Verdict verdict;
  verdict.kind = VerdictKind::kAllow;
  verdict.skill = std::string(kAgent);
  auto judged = calls_.create();
  judged->owner = session.owner;
  judged->session = session.key;
  judged->agent = session.agent;
  judged->tool = "bridge";
  judged->scope = session.warm_scope();
  judged->skill = verdict.skill;
  audit::Record record;
  try {
    set_policy(*judged, verdict, session, std::nullopt);
    record = judged->record("verdict");
    record.policy = judged->policy_digest;
    record.decision = "allow";
  } catch (const UserError& error) {
    record = judged->record("verdict");
    record.decision = "block";
    record.reason = error.full();
  }
  const std::string refusal = record.reason;
  const bool allowed = record.decision == "allow";
  record.payload = {{"argv", argv}, {"attribution", "bridge"}};
  if (!allowed) calls_.forget(*judged);
  co_await journal_.write(std::move(record));
  if (!allowed) throw MethodError(rpc::kBlocked, refusal);
  co_return judged;
}

PolicySubject Authorizer::subject_of(const Verdict& verdict, const std::string& tool,
                                     const Session& session) {
  PolicySubject subject;
  subject.tool = tool;
  subject.skill = verdict.skill;
  if (!verdict.effects) return subject;
  subject.content_digest = verdict.content_digest;
  subject.effects = verdict.effects;
  subject.paths = shown_paths(verdict.skill, session);
  if (const auto skill = skills_.get(verdict.skill)) {
    subject.limits = skill->manifest.limits;
    subject.deny_hosts = skill->manifest.deny_hosts;
  }
  return subject;
}

void Authorizer::set_policy(Call& call, const Verdict& verdict, const Session& session,
                            std::optional<std::chrono::milliseconds> timeout) {
  const auto standing =
      policies_.standing(subject_of(verdict, call.tool, session), session, timeout, skills_.generation());
  call.policy = standing->policy;
  call.policy_digest = standing->digest;
  call.no_network = standing->no_network;
}

// Where the session sees skills. Made once for a session and each change of the registry, since it
// costs a look at every copy.
std::shared_ptr<const SkillView> Authorizer::view_of(const Session* session) {
  const std::uint64_t generation = skills_.generation();
  if (session != nullptr && session->view && session->view_generation == generation) {
    return session->view;
  }
  auto view = std::make_shared<SkillView>();
  view->sources = &skills_.places();
  if (session == nullptr) return view;
  for (const auto& copy : session->skills) {
    // The host may know a skill by its name, or by the name of its folder.
    if (skills_.get(copy.skill)) view->copies.add(copy.skill, copy.path);
    for (const std::string_view folder : {std::string_view(copy.skill), folder_of(copy.path)}) {
      for (const auto& skill : view->sources->with_folder(folder)) {
        view->copies.add(skill, copy.path);
      }
    }
  }
  for (const auto& copy : session->skills) {
    if (view->sources->at(copy.path).empty() && view->copies.at(copy.path).empty()) {
      view->unregistered.add(copy.skill, copy.path);
    }
  }
  session->view = view;
  session->view_generation = generation;
  return view;
}

std::string Authorizer::declaring_skill(const std::string& tool) {
  // The host's own tools keep their meaning, whatever a manifest calls its own.
  if (is_one_of(tool, kSandboxedTools) || is_one_of(tool, kHarmlessTools) ||
      is_one_of(tool, kFetchingTools)) {
    return {};
  }
  return skills_.declaring(tool);
}

// Where the skill's content is shown: its source, and the host's copies of it.
std::vector<std::string> Authorizer::shown_paths(const std::string& skill, const Session& session) {
  std::vector<std::string> candidates = view_of(&session)->copies.of(skill);
  if (const auto registered = skills_.get(skill)) candidates.push_back(registered->source);
  std::vector<std::string> paths;
  for (auto& path : candidates) {
    // A copy that a host made for its sandbox may not be there in this session.
    const bool shown =
        std::any_of(session.read_only.begin(), session.read_only.end(),
                    [&](const HostMount& mount) { return lies_in(path, mount.path); });
    if (shown || is_directory(path)) paths.push_back(std::move(path));
  }
  return paths;
}

// The parameters to use instead of the given ones, so that no later hook's rewrite can slip in.
Json Authorizer::judged_params(const ToolCall& call, const Call& judged) const {
  Json params = call.params;
  if (call.tool != "exec" || call.outer || !params.is_object()) return params;
  params["host"] = "sandbox";
  params["elevated"] = false;  // said, since a host may elevate by default
  params.erase("node");
  if (!params.contains("env") || !params["env"].is_object()) params["env"] = Json::object();
  params["env"]["SHARKCAGE_CALL"] = judged.token;
  return params;
}

}  // namespace sharkcage
