// sc-exec: what a host spawns instead of a command. It presents the ticket from its environment,
// passes its streams on, and ends the way the command ends.
//
// A program of its own, small and static, since every call of a tool pays for its start.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <system_error>
#include <vector>

#include "cli/stdio.h"
#include "common/bytes.h"
#include "common/errors.h"
#include "common/places.h"
#include "common/rpc.h"
#include "common/text.h"

namespace sharkcage::cli {
namespace {

constexpr const char* kTicketVariable = "SHARKCAGE_TICKET";
constexpr int kUsage = 2;

constexpr const char* kHelp =
    "sc exec: run the command that a ticket stands for\n"
    "\n"
    "Usage: SHARKCAGE_TICKET=TICKET sc exec [-- COMMAND ARGUMENT…]\n"
    "\n"
    "A host gets the ticket from the supervisor (exec.prepare) and spawns this program in place of "
    "the\n"
    "command. A command, if given, must be the one that the ticket was issued for.\n"
    "\n"
    "Exit status: the command's own; 126 blocked, 125 no sandbox could be made, 124 time limit.\n"
    "\n"
    "Example:\n"
    "  SHARKCAGE_TICKET=9f86d081884c7d659a2feaa0c55ad015 sc exec\n";

// Nobody has to see it after this: not the environment of this process, nor that of a child.
std::string take_ticket() {
  char* value = std::getenv(kTicketVariable);
  std::string ticket = value == nullptr ? "" : value;
  if (value != nullptr) {
    explicit_bzero(value, ticket.size());
    ::unsetenv(kTicketVariable);
  }
  return ticket;
}

void complain(const std::string& message) {
  std::fprintf(stderr, "sharkcage: %s\n", printable(message).c_str());
}

int run(const std::vector<std::string>& command) {
  const std::string ticket = take_ticket();
  if (ticket.empty()) {
    complain(std::string("There is no ticket in ") + kTicketVariable +
             ". A host gets one from the supervisor for each command; to run a command yourself "
             "use: sc run");
    return kBlocked;
  }
  Stdio stdio(Stdio::on_terminal());
  Json params = {{"ticket", ticket}};
  for (const auto& argument : command) params["argv"].push_back(bytes_to_json(argument));
  if (stdio.window()) params["terminal"] = stdio.terminal();
  auto client = rpc::Client::connect(find_places(), "sc-exec");
  const Json answer = client.call("exec.open", std::move(params), stdio.to_pass());
  const Ending ending = stdio.attend(client, answer.at("call").get<std::string>());
  if (!ending.message.empty()) complain(ending.message);
  return ending.status;
}

}  // namespace
}  // namespace sharkcage::cli

int main(int argc, char** argv) {
  using namespace sharkcage;
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (!arguments.empty() && (arguments[0] == "--help" || arguments[0] == "-h")) {
    std::fputs(cli::kHelp, stdout);
    return 0;
  }
  if (!arguments.empty()) {
    if (arguments[0] != "--" || arguments.size() == 1) {
      std::fputs(cli::kHelp, stderr);
      return cli::kUsage;
    }
    arguments.erase(arguments.begin());
  }
  try {
    cli::occupy_standard_fds();
    return cli::run(arguments);
  } catch (const rpc::RemoteError& error) {
    const cli::Ending ending = cli::ending_of(error.error());
    cli::complain(ending.message);
    return ending.status;
  } catch (const UserError& error) {
    cli::complain(error.full());
  } catch (const std::exception& error) {
    cli::complain(error.what());
  }
  return cli::kSandboxFailed;
}
