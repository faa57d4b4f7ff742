// sc start: starts the supervisor that stands beside sc, and returns when it answers.
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <system_error>

#include "cli/commands.h"
#include "common/errors.h"
#include "common/fd.h"
#include "common/places.h"

namespace sharkcage::cli {
namespace {

using namespace std::chrono_literals;

// The smoke test of the sandbox is part of a start.
constexpr auto kStartTimeout = 30s;
constexpr int kPollMs = 20;
constexpr std::size_t kMaxComplaint = 64u << 10;

// The answer to hello, or nothing while no supervisor listens.
std::optional<Json> try_status() {
  try {
    return connect().call("status.get", Json::object());
  } catch (const UserError&) {
    return std::nullopt;
  }
}

// What the supervisor writes to stderr goes here once it is in the background.
UniqueFd open_log(const std::string& path) {
  UniqueFd log(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!log) throw_errno("open", path);
  return log;
}

// Only async-signal-safe calls between fork and exec.
pid_t spawn_daemon(const std::string& program, int log) {
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0) throw_errno("open", "/dev/null");
  const UniqueFd closer(null);
  const char* argv[] = {"sharkcaged", nullptr};
  const pid_t child = ::fork();
  if (child < 0) throw_errno("fork");
  if (child == 0) {
    ::setsid();
    if (::chdir("/") == 0 && ::dup2(null, 0) == 0 && ::dup2(log, 1) == 1 && ::dup2(log, 2) == 2) {
      ::execv(program.c_str(), const_cast<char**>(argv));
    }
    ::_exit(127);
  }
  return child;
}

std::string written_since(const std::string& path, off_t offset) {
  const UniqueFd log(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!log || ::lseek(log.get(), offset, SEEK_SET) < 0) return {};
  std::string text(kMaxComplaint, '\0');
  const ssize_t got = ::read(log.get(), text.data(), text.size());
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// Waits until the supervisor answers. Throws UserError with its own words when it ends instead.
Json wait_until_it_answers(pid_t child, const std::string& log_path, off_t log_start) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (!process) throw_errno("pidfd_open");
  const auto deadline = std::chrono::steady_clock::now() + kStartTimeout;
  while (std::chrono::steady_clock::now() < deadline) {
    pollfd ended{process.get(), POLLIN, 0};
    if (::poll(&ended, 1, kPollMs) > 0) {
      int status = 0;
      ::waitpid(child, &status, 0);
      const std::string complaint = written_since(log_path, log_start);
      throw UserError(
          "The supervisor did not start.\n" +
          (complaint.empty() ? "It said nothing; run: sc start --foreground" : complaint));
    }
    if (auto status = try_status()) return *status;
  }
  throw UserError("The supervisor (process " + std::to_string(child) + ") runs but does not answer",
                  "See its log: " + log_path);
}

int start_in_background(const Invocation& invocation) {
  const Places places = find_places();
  if (auto status = try_status()) {
    if (invocation.json) {
      print_json({{"started", false}, {"status", *status}});
    } else {
      print("The supervisor runs already (process " + std::to_string(number_of(*status, "pid")) +
            ").\n");
    }
    return kDone;
  }
  const std::string program = sibling("sharkcaged");
  if (::access(program.c_str(), X_OK) != 0) {
    throw UserError("There is no supervisor at " + program,
                    "Install Sharkcage again: ./install.sh");
  }
  create_places(places);
  const std::string log_path = places.state_dir + "/supervisor.log";
  const UniqueFd log = open_log(log_path);
  const off_t log_start = ::lseek(log.get(), 0, SEEK_END);
  const pid_t child = spawn_daemon(program, log.get());
  const Json status = wait_until_it_answers(child, log_path, log_start);
  if (invocation.json) {
    print_json({{"started", true}, {"status", status}});
  } else {
    print("The supervisor runs (process " + std::to_string(number_of(status, "pid")) + ", socket " +
          places.socket() + ", log " + log_path + ").\n");
  }
  return kDone;
}

}  // namespace

void add_start(CLI::App& app, Invocation& invocation) {
  CLI::App* command = add_command(app, invocation, "start", "Start the supervisor", "sc start");
  auto foreground = std::make_shared<bool>(false);
  command->add_flag("--foreground", *foreground, "Stay in the foreground and log to the terminal");
  command->callback([&invocation, foreground] {
    invocation.action = [&invocation, foreground]() -> int {
      if (*foreground) exec_sibling("sharkcaged", {});
      return start_in_background(invocation);
    };
  });
}

}  // namespace sharkcage::cli
