#include "supervisor/call.h"

#include <algorithm>
#include <chrono>

#include "common/hash.h"

namespace sharkcage {
namespace {

constexpr std::size_t kIdBytes = 8;
constexpr std::size_t kTokenBytes = 16;

}  // namespace

std::string_view name_of(CallState state) {
  switch (state) {
    case CallState::kAsking:
      return "asking";
    case CallState::kAllowed:
      return "allowed";
    case CallState::kPrepared:
      return "prepared";
    case CallState::kRunning:
      return "running";
    case CallState::kReturned:
      return "returned";
    case CallState::kFinished:
      return "finished";
  }
  return "";
}

audit::Record Call::record(std::string kind) const {
  audit::Record out;
  out.kind = std::move(kind);
  out.session = session;
  out.agent = agent;
  out.skill = skill;
  out.tool = tool;
  out.call = id;
  return out;
}

std::shared_ptr<Call> Calls::create() {
  if (by_id_.size() >= kMaxCalls) {
    const auto idle = std::find_if(order_.begin(), order_.end(), [this](const auto& entry) {
      const CallState state = by_id_.at(entry.second)->state;
      return state != CallState::kRunning && state != CallState::kReturned;
    });
    if (idle != order_.end()) forget(*by_id_.at(idle->second));
  }
  auto call = std::make_shared<Call>();
  call->id = random_hex(kIdBytes);
  call->token = random_hex(kTokenBytes);
  call->started_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                         std::chrono::steady_clock::now().time_since_epoch())
                         .count();
  by_id_[call->id] = call;
  id_of_token_[sha256_hex(call->token)] = call->id;
  call->number = ++last_number_;
  order_.emplace(call->number, call->id);
  return call;
}

std::shared_ptr<Call> Calls::by_token(const std::string& token) const {
  const auto found = id_of_token_.find(sha256_hex(token));
  return found == id_of_token_.end() ? nullptr : by_id(found->second);
}

std::shared_ptr<Call> Calls::by_id(const std::string& id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

void Calls::finish(Call& call) {
  call.state = CallState::kFinished;
  finished_.push_back(call.id);
  if (finished_.size() <= kMaxFinished) return;
  if (const auto oldest = by_id(finished_.front())) forget(*oldest);
  finished_.pop_front();
}

void Calls::forget(const Call& call) {
  const std::string id = call.id;
  const std::string token = call.token;
  id_of_token_.erase(sha256_hex(token));
  order_.erase(call.number);
  by_id_.erase(id);
}

std::vector<std::shared_ptr<Call>> Calls::all() const {
  std::vector<std::shared_ptr<Call>> out;
  for (const auto& [number, id] : order_) out.push_back(by_id_.at(id));
  return out;
}

}  // namespace sharkcage
