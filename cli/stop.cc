// sc stop: a clean end of the supervisor, of one session or of one call; returns when its processes
// are gone.
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>

#include "cli/commands.h"
#include "common/errors.h"
#include "common/fd.h"
#include "common/peer.h"
#include "common/text.h"

namespace sharkcage::cli {
namespace {

constexpr int kStopTimeoutMs = 30'000;

struct Options {
  std::string session;
  std::string call;
};

int stop_session(const Invocation& invocation, const std::string& session) {
  const Json answer = connect().call("session.end", {{"session", session}});
  const auto calls = static_cast<std::uint64_t>(number_of(answer, "calls"));
  const auto sandboxes = static_cast<std::uint64_t>(number_of(answer, "sandboxes"));
  if (invocation.json) {
    print_json({{"stopped", calls + sandboxes > 0}, {"calls", calls}, {"sandboxes", sandboxes}});
  } else if (calls + sandboxes == 0) {
    print("Nothing of the session " + printable(session) + " runs here.\n");
  } else {
    print("The session " + printable(session) + " has ended: " + counted(calls, "call") + ", " +
          std::to_string(sandboxes) + (sandboxes == 1 ? " sandbox.\n" : " sandboxes.\n"));
  }
  return kDone;
}

int stop_call(const Invocation& invocation, const std::string& call) {
  connect().call("call.cancel", {{"call", call}});
  if (invocation.json) {
    print_json({{"stopped", true}, {"call", call}});
  } else {
    print("The call " + printable(call) + " has ended, with all that it left running.\n");
  }
  return kDone;
}

int stop(const Invocation& invocation) {
  const Places places = find_places();
  if (!std::filesystem::exists(places.socket())) {
    if (invocation.json) {
      print_json({{"stopped", false}});
    } else {
      print("No supervisor runs here (" + places.socket() + ").\n");
    }
    return kDone;
  }
  rpc::Client client = connect();
  const pid_t pid = peer_of(client.fd()).pid;
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process) throw_errno("pidfd_open", "supervisor");
  client.call("supervisor.stop", Json::object());
  pollfd ended{process.get(), POLLIN, 0};
  if (::poll(&ended, 1, kStopTimeoutMs) <= 0) {
    throw UserError("The supervisor (process " + std::to_string(pid) +
                        ") was asked to stop and still runs after 30 seconds",
                    "End it with: kill -9 " + std::to_string(pid));
  }
  if (invocation.json) {
    print_json({{"stopped", true}, {"pid", pid}});
  } else {
    print("The supervisor (process " + std::to_string(pid) + ") has stopped.\n");
  }
  return kDone;
}

}  // namespace

void add_stop(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      add_command(app, invocation, "stop",
                  "Stop the supervisor, with all commands that run; or end one session or one call",
                  "sc stop --session web");
  auto options = std::make_shared<Options>();
  CLI::Option* session =
      command
          ->add_option(
              "--session", options->session,
              "End this session only: its calls, and whatever they left running. An operator of a "
              "system install ends that of every user")
          ->type_name("KEY")
          ->check(check_name);
  command
      ->add_option("--call", options->call,
                   "End this call only, and whatever it left running (sc status lists them)")
      ->type_name("ID")
      ->check(check_name)
      ->excludes(session);
  command->callback([&invocation, options] {
    invocation.action = [&invocation, options] {
      if (!options->session.empty()) return stop_session(invocation, options->session);
      if (!options->call.empty()) return stop_call(invocation, options->call);
      return stop(invocation);
    };
  });
}

}  // namespace sharkcage::cli
