// Running calls: a command in a sandbox for each, its descriptors, its token, its outcome.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "supervisor/call.h"
#include "supervisor/ends.h"
#include "supervisor/journal.h"
#include "supervisor/sandboxes.h"
#include "supervisor/server.h"
#include "supervisor/tickets.h"

namespace sharkcage {

// One thread.
class Runner {
 public:
  Runner(Sandboxes& sandboxes, Journal& journal, Calls& calls, Ends& ends);

  // Makes `command` ready for `call`, which is allowed, though its verdict need not be durable yet:
  // everything but its execution. `go` or `drop` must follow. Notifications go to `connection`,
  // whose end ends a call that has not returned. Throws MethodError when nothing is ready:
  // descriptors that may not be passed, a path of the policy that is gone or may not be shown, no
  // launcher.
  void stage(std::shared_ptr<Call> call, PreparedCommand command,
             const std::shared_ptr<Connection>& connection, std::vector<UniqueFd> stdio,
             sandbox::Terminal terminal);
  // The verdict is durable: executes it. False when somebody has cancelled it meanwhile; then it is
  // dropped.
  bool go(const std::string& call);
  // It is not executed. Nothing happens if it was not staged.
  void drop(const std::string& call);

  // False when no process of such a call is left.
  bool signal(const std::string& call, int number);
  bool resize(const std::string& call, unsigned rows, unsigned columns);
  bool foreground(const std::string& call, bool on);
  bool cancel(const std::string& call, const std::string& reason);
  // Whether anything of the call is left.
  bool has(const std::string& call) const { return running_.contains(call); }
  // Whether a call of another session has something in this sandbox: those of one scope share it.
  bool used_by_others(const LiveSandbox& sandbox, const std::string& session) const;
  // Whether `connection` opened the call.
  bool belongs_to(const std::string& call, std::uint64_t connection) const;

  void connection_closed(std::uint64_t connection);
  void cancel_skill(const std::string& skill);
  void cancel_all(const std::string& reason);
  std::size_t size() const { return running_.size(); }

 private:
  struct Running;
  void let_go(Running& running, const Call& call);
  void hear(Running& running, sandbox::Event event);
  void on_event(Running& running, sandbox::Event event);
  void on_returned(Running& running, const sandbox::Event& event);
  void on_failed(Running& running, const sandbox::Event& event);
  void on_refused(Running& running, const sandbox::Event& event);
  void on_over(Running& running, const sandbox::Event& event);
  void note_left_running(const Running& running, Json payload);
  void forget(Running& running);
  void add_refused(Json& payload, const sandbox::Event& event, Running& running) const;
  void announce(Running& running);
  void finish(Running& running, Json notification, const std::string& decision,
              const std::string& reason, Json payload);

  Sandboxes& sandboxes_;
  Journal& journal_;
  Calls& calls_;
  Ends& ends_;
  std::map<std::string, std::shared_ptr<Running>> running_;
};

}  // namespace sharkcage
