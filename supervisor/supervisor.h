// The supervisor: everything it owns, wired together, from start to a clean stop.
#pragma once

#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "audit/log.h"
#include "audit/query.h"
#include "capabilities/skills.h"
#include "common/config.h"
#include "common/fd.h"
#include "common/places.h"
#include "supervisor/authorizer.h"
#include "supervisor/call.h"
#include "supervisor/ends.h"
#include "supervisor/journal.h"
#include "supervisor/outside_clients.h"
#include "supervisor/processes.h"
#include "supervisor/runner.h"
#include "supervisor/sandbox/smoke_test.h"
#include "supervisor/sandboxes.h"
#include "supervisor/server.h"
#include "supervisor/sessions.h"
#include "supervisor/tickets.h"

namespace sharkcage {

inline constexpr const char* kVersion = "0.1.0";

// The instance's lock: one supervisor at a time. Throws UserError that names the other one.
UniqueFd take_lock(const Places& places);

class Supervisor {
 public:
  // `launcher` was started before any thread. Opens the log and the registry. Throws UserError.
  Supervisor(Places places, Config config, sandbox::Launcher launcher,
             std::vector<sandbox::Facility> facilities);
  ~Supervisor();

  // Serves until SIGTERM, SIGINT or `supervisor.stop`; returns the exit status.
  int run();

  // methods.cc: the protocol, method by method.
  struct MethodEntry {
    std::string name;
    Role role;
    std::vector<std::string> params;
    asio::awaitable<Json> (Supervisor::*function)(MethodCall);
    bool takes_fds = false;
  };
  static const std::vector<MethodEntry>& protocol();

 private:
  std::map<std::string, Method> methods();
  // A method after which approvals may be others.
  asio::awaitable<Json> deciding(asio::awaitable<Json> (Supervisor::*function)(MethodCall),
                                 MethodCall call);
  asio::awaitable<Json> hello(MethodCall call);
  asio::awaitable<Json> status(MethodCall call);
  Json unknown_names();
  asio::awaitable<Json> stop_requested(MethodCall call);
  asio::awaitable<Json> session_open(MethodCall call);
  asio::awaitable<Json> session_close(MethodCall call);
  asio::awaitable<Json> session_end(MethodCall call);
  asio::awaitable<Json> tool_authorize(MethodCall call);
  asio::awaitable<Json> tool_finish(MethodCall call);
  asio::awaitable<Json> approval_resolve(MethodCall call);
  asio::awaitable<Json> exec_prepare(MethodCall call);
  asio::awaitable<Json> exec_open(MethodCall call);
  asio::awaitable<Json> exec_run(MethodCall call);
  asio::awaitable<Json> exec_signal(MethodCall call);
  asio::awaitable<Json> exec_resize(MethodCall call);
  asio::awaitable<Json> exec_foreground(MethodCall call);
  asio::awaitable<Json> call_cancel(MethodCall call);
  asio::awaitable<Json> skill_add(MethodCall call);
  asio::awaitable<Json> skill_list(MethodCall call);
  asio::awaitable<Json> skill_show(MethodCall call);
  asio::awaitable<Json> skill_remove(MethodCall call);
  asio::awaitable<Json> skill_approve(MethodCall call);
  asio::awaitable<Json> skill_revoke(MethodCall call);
  asio::awaitable<Json> approval_list(MethodCall call);
  asio::awaitable<Json> approval_deny(MethodCall call);
  asio::awaitable<Json> audit_query(MethodCall call);

  std::shared_ptr<Call> prepared_call(const Json& params, uid_t owner);
  void check_against_verdict(const Call& call, const Json& params,
                             const std::string& workdir) const;
  asio::awaitable<void> refuse(std::string kind, std::string tool, std::string reason,
                               Json payload);
  asio::awaitable<void> not_started(std::shared_ptr<Call> call, MethodError failure);
  Json skill_json(const Skill& skill);
  std::vector<std::string> hints_on(const Manifest& manifest) const;
  Skill known_skill(const std::string& name);
  void end_calls_of(const std::string& skill);
  void end_call(Call& call, const std::string& reason);
  std::vector<std::shared_ptr<Call>> calls_of_session(const std::string& session,
                                                      const Connection& asking) const;
  asio::awaitable<void> gone(std::vector<std::string> calls, std::vector<std::uint64_t> sandboxes);
  audit::Record change(const std::string& kind, const std::string& skill, const Peer& peer,
                       const std::string& what) const;

  void stop(const std::string& why);
  void stop_if_quiet();
  void on_process_death(const std::string& name, const std::string& how);
  void on_refused_peer(const Peer& peer, const std::string& reason);
  void on_connection(const egress::Connection& event);
  void when_recorded(std::function<void()> then);
  void on_log_failure(const std::string& why);

  Places places_;
  Config config_;
  bool privileged_;
  std::string instance_;
  std::chrono::steady_clock::time_point started_;
  std::vector<sandbox::Facility> facilities_;

  asio::io_context context_;
  asio::signal_set signals_;
  asio::steady_timer stop_timer_;
  audit::Log log_;
  Journal journal_;
  std::optional<audit::Reader> audit_;  // from the first query on
  Skills skills_;
  Sessions sessions_;
  Calls calls_;
  Tickets tickets_;
  Processes processes_;
  OutsideClients outside_;
  Ends ends_;
  Sandboxes sandboxes_;
  Runner runner_;
  Authorizer authorizer_;
  Server server_;
  struct Refusals {
    std::chrono::steady_clock::time_point recorded;
    std::uint64_t unrecorded = 0;
  };
  std::map<std::pair<uid_t, std::string>, Refusals> refusals_;
  bool stopping_ = false;
  int status_ = 0;
};

}  // namespace sharkcage
