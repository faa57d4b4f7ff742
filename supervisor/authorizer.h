// The authorizer: attribution → approval → policy → verdict, for every tool call.
#pragma once

#include <sys/types.h>

#include <asio/awaitable.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capabilities/skills.h"
#include "common/config.h"
#include "common/places.h"
#include "supervisor/call.h"
#include "supervisor/journal.h"
#include "supervisor/policies.h"
#include "supervisor/sessions.h"

namespace sharkcage {

enum class VerdictKind { kAllow, kBlock, kAsk };

struct Verdict {
  VerdictKind kind = VerdictKind::kBlock;
  std::string skill;
  std::string reason;              // of a block, for people
  std::string rule;                // how the call was attributed, for the log
  std::string request;             // the pending request that a person can settle; empty for none
  std::optional<Effects> effects;  // what is approved; nothing for the baseline
  std::string content_digest;
  Json prompt;  // of an ask: title, description, severity
};

// A tool call as the host describes it.
struct ToolCall {
  std::string tool;
  Json params;
  std::string session;
  std::string agent;
  std::string run;
  std::string host_call;  // the host's id of it
  bool outer = false;     // wraps another call that is authorized by itself
  bool prompt = false;    // the host can ask a person
  uid_t owner = 0;
};

// A command that `sc run` asks for.
struct RunCall {
  std::string skill;
  std::string session;
  std::string workspace;
  Access access = Access::kReadWrite;
  std::vector<std::string> argv;
  std::string workdir;
  std::optional<std::chrono::milliseconds> timeout;
  uid_t owner = 0;
};

// One thread.
class Authorizer {
 public:
  Authorizer(const Config& config, const Places& places, Skills& skills, Sessions& sessions,
             Calls& calls, Journal& journal);

  // The answer of tool.authorize. The verdict is durable when this returns. Throws JournalError.
  asio::awaitable<Json> authorize(ToolCall call);

  // A person's decision on the request that `call` waits for. The call is allowed or finished when
  // this returns, and that is durable. Throws MethodError, JournalError.
  asio::awaitable<Json> resolve(std::shared_ptr<Call> call, std::string decision);

  // A call for `sc run`, and what to do with one that is allowed while its verdict is written: it
  // must not throw, nor execute anything. Throws MethodError with kBlocked when it is not allowed,
  // JournalError.
  using Meanwhile = std::function<void(const std::shared_ptr<Call>&)>;
  asio::awaitable<std::shared_ptr<Call>> authorize_run(RunCall run, Meanwhile meanwhile);

  // A call for one of the host's own file operations, as the baseline. Throws MethodError.
  asio::awaitable<std::shared_ptr<Call>> authorize_bridge(const Session& session,
                                                          const std::vector<std::string>& argv);

  // The ground on which `owner`'s approvals are resolved.
  Ground ground_of(uid_t owner) { return policies_.ground_of(owner); }

 private:
  Verdict judge(const ToolCall& call, const Session* session, std::string& workdir);
  std::optional<std::string> refuse_by_form(const ToolCall& call, const Session* session) const;
  Verdict judge_skill(const std::string& skill, const std::string& rule, const ToolCall& call);
  Verdict judge_gateway_tool(const ToolCall& call, const std::string& rule);
  bool may_fetch(const std::string& tool, const std::string& url) const;
  std::shared_ptr<const SkillView> view_of(const Session* session);
  std::string declaring_skill(const std::string& tool);
  std::vector<std::string> shown_paths(const std::string& skill, const Session& session);
  PolicySubject subject_of(const Verdict& verdict, const std::string& tool, const Session& session);
  void set_policy(Call& call, const Verdict& verdict, const Session& session,
                  std::optional<std::chrono::milliseconds> timeout);
  Json judged_params(const ToolCall& call, const Call& judged) const;

  const Config& config_;
  Skills& skills_;
  Sessions& sessions_;
  Calls& calls_;
  Journal& journal_;
  Policies policies_;
};

}  // namespace sharkcage
