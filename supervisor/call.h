// A tool call: from its verdict until its last process has ended.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "audit/record.h"
#include "capabilities/policy.h"
#include "common/json.h"

namespace sharkcage {

enum class CallState {
  kAsking,    // a person has been asked; nothing may run
  kAllowed,   // the verdict is allow; nothing has been prepared yet
  kPrepared,  // a ticket is out
  kRunning,   // in a sandbox
  kReturned,  // its command has ended, and processes of it may be left
  kFinished,  // nothing more may come of it
};

std::string_view name_of(CallState state);

struct Call {
  static constexpr std::size_t kMaxRefusedHosts = 1024;

  std::string id;     // for the log and for people; no secret
  std::string token;  // the call token: whoever has it may prepare the command; never logged
  uid_t owner = 0;    // the peer's uid
  std::string session;
  std::string agent;
  std::string run;
  std::string skill;
  std::string content_digest;  // of the skill, as it was judged; empty for the baseline
  std::string tool;
  Json params;          // as they were judged
  std::string command;  // of exec
  std::string workdir;  // absolute; where it was judged to run
  std::string request;  // the pending request, while asking
  // Calls of one scope may share a sandbox (Seat); empty: none may, the call has a fresh one.
  std::string scope;
  CallState state = CallState::kAllowed;
  Policy policy;
  std::string policy_digest;  // of `policy`; empty as long as there is none
  std::string no_network;     // DerivedPolicy::no_network
  bool stopped = false;       // as a shell's job is, while it runs
  std::uint64_t refused = 0;  // how many different accesses its outcomes list so far
  // What the egress refused: each host with its port, or name that was asked for, once (the first
  // kMaxRefusedHosts of them), and in how many records.
  std::set<std::string> refused_hosts;
  std::uint64_t refused_host_records = 0;
  std::int64_t started_ms = 0;  // steady clock
  std::uint64_t number = 0;     // of `Calls`: later ones have higher ones

  // A record of this call with everything filled in that the call knows.
  audit::Record record(std::string kind) const;
};

// All calls that are not over, and the last ones that are. Bounded: the oldest one that does not
// run is forgotten when there are too many, which blocks what it would have become. One thread.
class Calls {
 public:
  static constexpr std::size_t kMaxCalls = 16384;
  static constexpr std::size_t kMaxFinished = 256;

  std::shared_ptr<Call> create();
  std::shared_ptr<Call> by_token(const std::string& token) const;
  std::shared_ptr<Call> by_id(const std::string& id) const;
  // False for a call that was forgotten: a revocation or another end came in between.
  bool holds(const Call& call) const { return by_id_.contains(call.id); }
  // Nothing more comes of it, but what is still reported of it (its connections) finds it for a
  // while.
  void finish(Call& call);
  void forget(const Call& call);
  std::vector<std::shared_ptr<Call>> all() const;

 private:
  std::map<std::string, std::shared_ptr<Call>> by_id_;
  std::map<std::string, std::string> id_of_token_;  // keyed by the token's digest
  std::map<std::uint64_t, std::string> order_;      // ids by number
  std::uint64_t last_number_ = 0;
  std::deque<std::string> finished_;
};

}  // namespace sharkcage
