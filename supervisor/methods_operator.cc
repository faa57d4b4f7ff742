// The protocol's methods (docs/protocol.md) for operators: skills, approvals, the log, the end.
#include <algorithm>
#include <asio/post.hpp>
#include <limits>

#include "audit/query.h"
#include "capabilities/prompt.h"
#include "common/errors.h"
#include "common/text.h"
#include "supervisor/params.h"
#include "supervisor/supervisor.h"

namespace sharkcage {
namespace {

// In ms: system_clock counts nanoseconds.
constexpr std::uint64_t kLastTime = std::numeric_limits<std::int64_t>::max() / 1'000'000;
constexpr std::uint64_t kMaxAuditRecords = 10'000;
constexpr std::size_t kMaxAuditBytes = 6u << 20;  // of one answer, below the longest line

}  // namespace

Skill Supervisor::known_skill(const std::string& name) {
  auto skill = skills_.find(name);
  if (!skill) {
    throw MethodError(rpc::kNotFound, "There is no skill \"" + printable(name) + "\"",
                      "See: sc skill list. Add one with: sc skill add DIRECTORY");
  }
  return std::move(*skill);
}

audit::Record Supervisor::change(const std::string& kind, const std::string& skill,
                                 const Peer& peer, const std::string& what) const {
  audit::Record record;
  record.kind = kind;
  record.skill = skill;
  record.reason = what;
  record.payload = {{"by_uid", peer.uid}};
  return record;
}

// The skill as it stands in the protocol, its source looked at now.
Json Supervisor::skill_json(const Skill& recorded) {
  Skill skill = recorded;
  std::string state;
  try {
    skill = skills_.refresh(recorded.name).skill;
  } catch (const std::exception&) {
    state = "missing";
  }
  const Standing standing = skills_.standing(skill.name, skill.content_digest);
  if (state.empty()) {
    state = standing.kind == Standing::Kind::kApproved  ? "approved"
            : standing.kind == Standing::Kind::kChanged ? "changed"
                                                        : "pending";
  }
  Json capabilities = Json::array();
  for (const auto& asked : skill.manifest.capabilities) {
    const auto* entry = skills_.catalogue().find(asked.capability);
    bool granted = false;
    if (standing.kind == Standing::Kind::kApproved) {
      const auto& list = standing.approval->granted;
      granted = std::find(list.begin(), list.end(), asked) != list.end();
    }
    capabilities.push_back({{"capability", asked.capability},
                            {"label", describe(asked, skills_.catalogue())},
                            {"risk", entry == nullptr ? "dangerous" : name_of(entry->risk)},
                            {"scope", asked.scope},
                            {"reason", asked.reason},
                            {"granted", granted}});
  }
  Json out = {{"name", skill.name},
              {"version", skill.manifest.version},
              {"description", skill.manifest.description},
              {"source", skill.source},
              {"manifest_digest", skill.manifest.digest},
              {"content_digest", skill.content_digest},
              {"state", state},
              {"capabilities", capabilities}};
  const std::string limits = limits_in_words(skill.manifest.limits, config_.limits);
  if (!limits.empty()) out["limits"] = limits;
  if (!skill.manifest.deny_hosts.empty()) out["deny_hosts"] = skill.manifest.deny_hosts;
  if (standing.kind == Standing::Kind::kApproved) {
    out["approved_at"] = standing.approval->time;
    out["approved_by"] = standing.approval->decided_by;
  }
  return out;
}

asio::awaitable<Json> Supervisor::skill_add(MethodCall request) {
  const Params params(request.params);
  const Added added = skills_.add(params.path("path"));
  const std::string changed = added.created            ? "new"
                              : added.content_changed  ? "content"
                              : added.manifest_changed ? "manifest"
                                                       : "none";
  audit::Record record =
      change("skill", added.skill.name, request.connection->peer, "added (" + changed + ")");
  record.payload["source"] = added.skill.source;
  record.payload["content"] = added.skill.content_digest;
  co_await journal_.write(std::move(record));
  const Manifest& manifest = added.skill.manifest;
  std::vector<std::string> hints = hints_on(manifest);
  for (std::string& never :
       never_granted(manifest.capabilities, skills_.catalogue(),
                     authorizer_.ground_of(request.connection->peer.uid))) {
    hints.push_back(std::move(never));
  }
  co_return Json{{"skill", skill_json(added.skill)}, {"changed", changed}, {"hints", hints}};
}

asio::awaitable<Json> Supervisor::skill_list(MethodCall) {
  Json list = Json::array();
  for (const auto& skill : skills_.list()) list.push_back(skill_json(skill));
  co_return Json{{"skills", list}};
}

asio::awaitable<Json> Supervisor::skill_show(MethodCall request) {
  const Skill skill = known_skill(Params(request.params).text("name"));
  co_return Json{{"skill", skill_json(skill)}, {"hints", hints_on(skill.manifest)}};
}

// For whoever writes the manifest, and whoever approves it.
std::vector<std::string> Supervisor::hints_on(const Manifest& manifest) const {
  std::vector<std::string> hints;
  try {
    hints = manifest_hints(manifest, skills_.catalogue());
    for (std::string& note : manifest_notes(manifest, skills_.catalogue())) {
      hints.push_back(std::move(note));
    }
  } catch (const UserError& error) {
    hints.push_back(error.full());  // of what an older version recorded, and nobody can approve
  }
  return hints;
}

// Those that run, and those that were allowed and have not started.
void Supervisor::end_calls_of(const std::string& skill) {
  for (const auto& call : calls_.all()) {
    if (call->skill != skill || call->state == CallState::kRunning ||
        call->state == CallState::kReturned)
      continue;
    tickets_.drop_call(call->id);
    calls_.forget(*call);
  }
  runner_.cancel_skill(skill);
}

asio::awaitable<Json> Supervisor::skill_remove(MethodCall request) {
  const Skill skill = known_skill(Params(request.params).text("name"));
  co_await journal_.write(change("skill", skill.name, request.connection->peer, "removed"));
  skills_.remove(skill.name);
  end_calls_of(skill.name);
  co_return Json::object();
}

asio::awaitable<Json> Supervisor::skill_approve(MethodCall request) {
  const Params params(request.params);
  const Skill skill = known_skill(params.text("name"));
  skills_.refresh(skill.name);
  const uid_t uid = request.connection->peer.uid;
  const auto only = params.byte_strings("only");
  const Approval approval =
      skills_.approve(skill.name, params.text("content_digest"), only,
                      "user id " + std::to_string(uid), authorizer_.ground_of(uid));
  audit::Record record = change("approval", skill.name, request.connection->peer, "approved");
  record.decision = "allow";
  record.payload["content"] = approval.content_digest;
  record.payload["manifest"] = approval.manifest_digest;
  Json granted = Json::array();
  for (const auto& capability : approval.granted) {
    granted.push_back({{"capability", capability.capability}, {"scope", capability.scope}});
  }
  record.payload["granted"] = std::move(granted);
  try {
    co_await journal_.write(std::move(record));
  } catch (const JournalError&) {
    skills_.revoke(skill.name);  // no approval without its record
    throw;
  }
  co_return Json{{"skill", skill_json(known_skill(skill.name))}};
}

asio::awaitable<Json> Supervisor::skill_revoke(MethodCall request) {
  const Skill skill = known_skill(Params(request.params).text("name"));
  if (!skills_.revoke(skill.name)) {
    throw MethodError(rpc::kNotFound, "The skill \"" + skill.name + "\" has no approval");
  }
  end_calls_of(skill.name);
  audit::Record record = change("approval", skill.name, request.connection->peer, "revoked");
  co_await journal_.write(std::move(record));
  co_return Json::object();
}

asio::awaitable<Json> Supervisor::approval_list(MethodCall) {
  Json list = Json::array();
  for (const auto& request : skills_.pending()) {
    Json capabilities = Json::array();
    for (const auto& asked : request.asked) {
      capabilities.push_back(to_json(asked, skills_.catalogue()));
    }
    list.push_back({{"request", request.id},
                    {"skill", request.skill},
                    {"session", request.session},
                    {"tool", request.tool},
                    {"created", request.created},
                    {"capabilities", capabilities},
                    {"severity", name_of(risk_of(request.asked, skills_.catalogue()))}});
  }
  co_return Json{{"requests", list}};
}

asio::awaitable<Json> Supervisor::approval_deny(MethodCall request) {
  const std::string id = Params(request.params).text("request");
  if (!skills_.find_request(id)) {
    throw MethodError(rpc::kNotFound, "There is no request \"" + printable(id) + "\"",
                      "List them with: sc approve --pending");
  }
  const auto settled = skills_.settle(id, RequestState::kDenied);
  audit::Record record = change("approval", settled.skill, request.connection->peer, "denied");
  record.decision = "block";
  record.session = settled.session;
  record.payload["request"] = id;
  co_await journal_.write(std::move(record));
  co_return Json::object();
}

asio::awaitable<Json> Supervisor::audit_query(MethodCall request) {
  const Params params(request.params);
  audit::Query query;
  query.blocked = params.flag("blocked");
  if (params.has("skill")) query.skill = params.text("skill");
  if (params.has("tool")) query.tool = params.text("tool");
  if (params.has("session")) query.session = params.text("session");
  if (const auto since = params.number("since_ms")) {
    query.since = std::chrono::system_clock::time_point(
        std::chrono::milliseconds(std::min<std::uint64_t>(*since, kLastTime)));
  }
  query.after_seq = params.number("after").value_or(0);
  query.tail = params.number("tail");
  query.limit = std::min(params.number("limit").value_or(kMaxAuditRecords), kMaxAuditRecords);
  co_await journal_.settled();  // what was answered before is in what is read now
  Json records = Json::array();
  std::size_t bytes = 0;
  if (!audit_) audit_.emplace(places_.audit_db());
  audit_->read(query, [&](const audit::Record& record) {
    records.push_back(record.to_json());
    bytes += dump_json(records.back()).size();
    return bytes < kMaxAuditBytes;
  });
  const audit::Head head = log_.head();
  co_return Json{{"records", records}, {"head", {{"seq", head.seq}, {"hash", head.hash}}}};
}

asio::awaitable<Json> Supervisor::stop_requested(MethodCall request) {
  audit::Record record = change("supervisor", "", request.connection->peer, "stop requested");
  co_await journal_.write(std::move(record));
  asio::post(context_, [this] { stop("requested"); });
  co_return Json::object();
}

}  // namespace sharkcage
