// sc stop: a clean end of the supervisor; returns when its process is gone.
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>

#include "cli/commands.h"
#include "common/errors.h"
#include "common/fd.h"
#include "common/peer.h"

namespace sharkcage::cli {
namespace {

constexpr int kStopTimeoutMs = 30'000;

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
  CLI::App* command = add_command(app, invocation, "stop",
                                  "Stop the supervisor; commands that run end with it", "sc stop");
  command->callback(
      [&invocation] { invocation.action = [&invocation] { return stop(invocation); }; });
}

}  // namespace sharkcage::cli
