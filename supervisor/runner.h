// Running calls: a sandbox for each, its descriptors, its listener, its outcome.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "supervisor/call.h"
#include "supervisor/host_ids.h"
#include "supervisor/journal.h"
#include "supervisor/processes.h"
#include "supervisor/server.h"
#include "supervisor/tickets.h"

namespace sharkcage {

struct RunnerOptions {
  std::string skills_dir;   // the content store
  bool privileged = false;  // the supervisor is root: commands get user ids of their own
};

// One thread.
class Runner {
 public:
  Runner(asio::io_context& context, Processes& processes, Journal& journal, Calls& calls,
         RunnerOptions options);

  // Starts `command` for `call`, whose verdict is durable. Notifications go to `connection`, whose end
  // ends the call. Throws MethodError when nothing was started: descriptors that may not be passed, a
  // path of the policy that is gone or may not be shown, no launcher.
  void start(std::shared_ptr<Call> call, PreparedCommand command,
             const std::shared_ptr<Connection>& connection, std::vector<UniqueFd> stdio,
             sandbox::Terminal terminal);

  // False when no such call runs.
  bool signal(const std::string& call, int number);
  bool resize(const std::string& call, unsigned rows, unsigned columns);
  bool cancel(const std::string& call, const std::string& reason);
  // Whether `connection` opened the call.
  bool belongs_to(const std::string& call, std::uint64_t connection) const;

  void connection_closed(std::uint64_t connection);
  void cancel_skill(const std::string& skill);
  void cancel_all(const std::string& reason);
  std::size_t size() const { return running_.size(); }

 private:
  struct Running;
  asio::awaitable<void> attend(std::shared_ptr<Running> running);
  void on_event(Running& running, sandbox::Event event);
  void announce(Running& running);
  void finish(Running& running, Json notification, const std::string& decision,
              const std::string& reason, Json payload);

  asio::io_context& context_;
  Processes& processes_;
  Journal& journal_;
  Calls& calls_;
  RunnerOptions options_;
  HostIds host_ids_;
  std::map<std::string, std::shared_ptr<Running>> running_;
};

}  // namespace sharkcage
