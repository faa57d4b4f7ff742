// The protocol's methods (docs/protocol.md) that end calls and sessions. Each answers when what it
// ended is gone.
#include <algorithm>

#include "common/text.h"
#include "supervisor/params.h"
#include "supervisor/supervisor.h"

namespace sharkcage {
namespace {

constexpr const char* kCancelled = "cancelled";

std::string user(const Peer& peer) {
  return "user id " + std::to_string(peer.uid);
}

}  // namespace

// In a sandbox, or not there yet.
void Supervisor::end_call(Call& call, const std::string& reason) {
  if (runner_.cancel(call.id, reason) || runner_.has(call.id)) return;
  tickets_.drop_call(call.id);
  calls_.forget(call);
}

asio::awaitable<void> Supervisor::gone(std::vector<std::string> calls,
                                       std::vector<std::uint64_t> sandboxes) {
  const auto left = [&] {
    return std::any_of(calls.begin(), calls.end(),
                       [&](const std::string& call) { return runner_.has(call); }) ||
           std::any_of(sandboxes.begin(), sandboxes.end(),
                       [&](std::uint64_t sandbox) { return sandboxes_.has(sandbox); });
  };
  while (left()) co_await ends_.next();
}

asio::awaitable<Json> Supervisor::call_cancel(MethodCall request) {
  const std::string id = Params(request.params).text("call");
  const Peer& peer = request.connection->peer;
  const bool own = runner_.belongs_to(id, request.connection->id);
  if (!own && !request.connection->roles.operator_) {
    throw MethodError(rpc::kNotFound, "No such call of this connection runs");
  }
  const auto call = calls_.by_id(id);
  if (!call || call->state == CallState::kFinished) {
    throw MethodError(rpc::kNotFound, "There is no such call", "Those that are, are in: sc status");
  }
  audit::Record record = call->record("end");
  record.reason = user(peer) + " ended the call " + call->id;
  record.payload["by_uid"] = peer.uid;
  co_await journal_.write(std::move(record));
  end_call(*call, kCancelled);
  std::vector<std::string> calls(1, id);
  co_await gone(std::move(calls), std::vector<std::uint64_t>());
  co_return Json::object();
}

// What an operator names may be anybody's; a host has only what it opened itself.
std::vector<std::shared_ptr<Call>> Supervisor::calls_of_session(const std::string& session,
                                                                const Connection& asking) const {
  std::vector<std::shared_ptr<Call>> found;
  for (const auto& call : calls_.all()) {
    const bool allowed = asking.roles.operator_ || call->owner == asking.peer.uid;
    if (allowed && call->session == session && call->state != CallState::kFinished) {
      found.push_back(call);
    }
  }
  return found;
}

asio::awaitable<Json> Supervisor::session_end(MethodCall request) {
  const std::string session = Params(request.params).text("session");
  const Connection& asking = *request.connection;
  const std::optional<uid_t> owner =
      asking.roles.operator_ ? std::nullopt : std::optional<uid_t>(asking.peer.uid);
  if (calls_of_session(session, asking).empty() && !sandboxes_.has_session(owner, session)) {
    co_return Json{{"calls", 0}, {"sandboxes", 0}};
  }
  audit::Record record;
  record.kind = "end";
  record.session = session;
  record.reason = user(asking.peer) + " ended the session " + session;
  record.payload["by_uid"] = asking.peer.uid;
  co_await journal_.write(std::move(record));
  std::vector<std::string> calls;
  for (const auto& call : calls_of_session(session, asking)) {
    calls.push_back(call->id);
    end_call(*call, kCancelled);
  }
  std::vector<std::uint64_t> sandboxes = sandboxes_.end_session(
      owner, session, kCancelled,
      [&](const LiveSandbox& sandbox) { return runner_.used_by_others(sandbox, session); });
  Json answer = {{"calls", calls.size()}, {"sandboxes", sandboxes.size()}};
  co_await gone(std::move(calls), std::move(sandboxes));
  co_return answer;
}

}  // namespace sharkcage
