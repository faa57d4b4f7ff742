// A host of an agent, as the supervisor sees one: it authorizes, prepares and opens commands.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "common/rpc.h"
#include "tests/integration/instance.h"

namespace sharkcage::testing {

// The test's ends of a command's streams, and the command's.
struct Streams {
  Streams();
  UniqueFd in;
  UniqueFd out;
  UniqueFd err;
  UniqueFd command_in;
  UniqueFd command_out;
  UniqueFd command_err;
  std::array<int, 3> to_pass() const {
    return {command_in.get(), command_out.get(), command_err.get()};
  }
  // Closes the command's ends here, as a client does once they are passed on.
  void let_go();
  // What the command wrote to stdout until it ended.
  std::string read_out();
};

class Host {
 public:
  // Connects and opens `session` on the instance's workspace.
  explicit Host(const Instance& instance, std::string session = "session");

  rpc::Client& client() { return client_; }
  const std::string& session() const { return session_; }

  // tool.authorize for exec of `command`; `more` is merged into the request's members.
  Json authorize(const std::string& command, const Json& more = Json::object());
  // The call token of an allowed command. Throws std::runtime_error when it is not allowed.
  std::string token_for(const std::string& command);
  // exec.prepare; `more` is merged in.
  Json prepare(const std::string& token, const std::string& command,
               const Json& more = Json::object());
  // An allowed and prepared command's ticket.
  std::string ticket_for(const std::string& command);
  // exec.open with three pipes.
  Json open(const std::string& ticket, Streams& streams, const Json& more = Json::object());

 private:
  std::string session_;
  rpc::Client client_;
};

// Waits for the notification `method`, skipping others, and returns its parameters. Throws
// std::runtime_error at the connection's end.
Json wait_for(rpc::Client& client, const std::string& method);

// exec.run of `argv` in the instance's workspace; `more` is merged in.
Json exec_run(rpc::Client& client, const Instance& instance, const std::vector<std::string>& argv,
              Streams& streams, const Json& more = Json::object());

}  // namespace sharkcage::testing
