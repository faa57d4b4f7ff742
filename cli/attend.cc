// sc-attend: what sc-exec becomes where its own few means do not do: streams that have to be
// relayed, a terminal, a signal, an ending that needs words. Begins at the ticket, or in the middle
// with the connection and all that came over it.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <system_error>
#include <vector>

#include "cli/stdio.h"
#include "common/bytes.h"
#include "common/errors.h"
#include "common/fd.h"
#include "common/places.h"
#include "common/rpc.h"
#include "common/text.h"

namespace sharkcage::cli {
namespace {

constexpr const char* kTicketVariable = "SHARKCAGE_TICKET";
constexpr const char* kConnected = "--connected";  // from sc-exec: two descriptors
constexpr std::size_t kMaxReceived = 1u << 20;
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

int attend(Stdio& stdio, rpc::Client& client, const Json& answer) {
  const Ending ending = stdio.attend(client, answer.at("call").get<std::string>());
  if (!ending.message.empty()) complain(ending.message);
  return ending.status;
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
  return attend(stdio, client, answer);
}

// `place`: the connection and a file of what came over it, as "FD,FD".
int go_on(const std::string& place) {
  int connection = -1;
  int received = -1;
  if (std::sscanf(place.c_str(), "%d,%d", &connection, &received) != 2 || connection < 3 ||
      received < 3) {
    complain(std::string(kConnected) + " is for sc-exec alone");
    return kUsage;
  }
  const UniqueFd file(received);
  auto client = rpc::Client::resume(UniqueFd(connection),
                                    read_fd(received, kMaxReceived, "what sc-exec received"));
  Stdio stdio(false);  // the streams of the command are with it already
  const Json answer = client.answer();
  return attend(stdio, client, answer);
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
  const bool connected = arguments.size() == 2 && arguments[0] == cli::kConnected;
  if (!arguments.empty() && !connected) {
    if (arguments[0] != "--" || arguments.size() == 1) {
      std::fputs(cli::kHelp, stderr);
      return cli::kUsage;
    }
    arguments.erase(arguments.begin());
  }
  try {
    cli::occupy_standard_fds();
    return connected ? cli::go_on(arguments[1]) : cli::run(arguments);
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
