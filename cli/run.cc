// sc run: authorizes and runs one command in a sandbox, with this process's streams.
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <system_error>

#include "cli/commands.h"
#include "cli/missing_program.h"
#include "cli/stdio.h"
#include "common/bytes.h"
#include "common/errors.h"
#include "common/text.h"

extern char** environ;

namespace sharkcage::cli {
namespace {

struct Options {
  std::string skill;
  std::string session;
  std::string workspace;
  std::string timeout;
};

struct Workspace {
  std::string path;
  std::string access = "rw";
};

std::string real_path(const std::string& path, const char* what) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  if (error) {
    throw UserError(std::string("Cannot open the ") + what + " " + printable(path) + " (" +
                    error.message() + ")");
  }
  // Nor could a policy name it, which is text.
  if (!is_utf8(real.string())) {
    throw UserError(std::string("The ") + what + " " + printable(real.string()) +
                        " has a name that is not UTF-8",
                    "Rename the directory, or work in another one.");
  }
  return real.string();
}

// "DIR", "DIR:ro", "DIR:rw"; without an option the current directory.
Workspace parse_workspace(std::string text) {
  Workspace workspace;
  if (text.ends_with(":ro") || text.ends_with(":rw")) {
    workspace.access = text.substr(text.size() - 2);
    text.resize(text.size() - 3);
  }
  workspace.path = real_path(text.empty() ? "." : text, "workspace");
  return workspace;
}

// Empty for a workspace, or one that is judged later; else what is wrong with it.
std::string check_workspace(const std::string& text) {
  if (text.empty()) return "it is empty: is a variable of the shell not set?";
  const std::size_t colon = text.rfind(':');
  const std::string access = colon == std::string::npos ? "rw" : text.substr(colon + 1);
  std::error_code error;
  if (access == "ro" || access == "rw" || std::filesystem::exists(text, error) ||
      !std::filesystem::exists(text.substr(0, colon), error)) {
    return {};
  }
  return "behind the directory stands \":ro\" or \":rw\", not \":" + printable(access) + '"';
}

// The current directory if it lies in the workspace, else the workspace.
std::string workdir_in(const Workspace& workspace) {
  const std::string current = real_path(".", "working directory");
  const bool inside = current == workspace.path || workspace.path == "/" ||
                      current.starts_with(workspace.path + '/');
  return inside ? current : workspace.path;
}

// The supervisor picks what may pass: a variable that is not text cannot be named in an approval.
Json environment() {
  Json out = Json::object();
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0 || !is_utf8(text)) continue;
    out[std::string(text.substr(0, equals))] = text.substr(equals + 1);
  }
  return out;
}

Json parameters(const Options& options, const std::vector<std::string>& command) {
  const Workspace workspace = parse_workspace(options.workspace);
  Json argv = Json::array();
  for (const std::string& argument : command) argv.push_back(bytes_to_json(argument));
  Json params = {{"argv", std::move(argv)},
                 {"workspace", {{"path", workspace.path}, {"access", workspace.access}}},
                 {"workdir", workdir_in(workspace)},
                 {"env", environment()}};
  if (!options.skill.empty()) params["skill"] = options.skill;
  if (!options.session.empty()) params["session"] = options.session;
  if (!options.timeout.empty()) {
    params["timeout_ms"] = parse_duration(options.timeout, "--timeout").count();
  }
  return params;
}

struct Result {
  Json answer = Json::object();
  Ending ending;
};

Result run_command(Stdio& stdio, const Options& options, const std::vector<std::string>& command) {
  Result result;
  Json params;
  try {
    params = parameters(options, command);
  } catch (const UserError& error) {
    result.ending = {kSandboxFailed, "workspace", error.full()};
    return result;
  }
  if (stdio.window()) params["terminal"] = stdio.terminal();
  try {
    rpc::Client client = connect();
    result.answer = client.call("exec.run", std::move(params), stdio.to_pass());
    result.ending = stdio.attend(client, text_of(result.answer, "call"));
  } catch (const rpc::RemoteError& error) {
    result.ending = ending_of(error.error());
    if (error.error().data.is_object()) result.answer = error.error().data;
  } catch (const UserError& error) {
    result.ending = {kSandboxFailed, "supervisor", error.full()};
  }
  return result;
}

// A person who asked for more should know why it was less.
void explain_time_limit(Ending& ending, const Options& options, std::chrono::milliseconds took) {
  using namespace std::chrono_literals;
  if (ending.reason != "wall" || options.timeout.empty()) return;
  if (parse_duration(options.timeout, "--timeout") <= took + 1s) return;
  ending.message += " --timeout asks for more than the configuration allows (limits.wall).";
}

void print_result(const Result& result, Stdio& stdio, std::chrono::milliseconds took) {
  Json out = {{"status", result.ending.status}, {"duration_ms", took.count()}};
  for (const char* member : {"call", "skill", "policy", "request"}) {
    if (result.answer.contains(member)) out[member] = result.answer[member];
  }
  if (!result.ending.reason.empty()) out["reason"] = result.ending.reason;
  if (!result.ending.message.empty()) out["message"] = result.ending.message;
  if (result.ending.refused > 0) out["refused"] = result.ending.refused;
  out["stdout"] = bytes_to_json(stdio.take_captured_stdout());
  out["stderr"] = bytes_to_json(stdio.take_captured_stderr());
  print_json(out);
}

// For a person only: on any other stderr stands what the command wrote, and nothing else.
void point_to_refusals(std::uint64_t refused, std::uint64_t records) {
  if (refused == 0 || ::isatty(STDERR_FILENO) != 1) return;
  const std::string what =
      refused == 1 ? "1 access was refused" : std::to_string(refused) + " accesses were refused";
  print_error(what + ". See: sc audit --blocked --tail " + std::to_string(records));
}

// Empty where there is none, or none that this person may ask for.
std::string directory_of(const std::string& skill) {
  if (skill.empty()) return {};
  try {
    return text_of(connect().call("skill.show", {{"name", skill}}).at("skill"), "source");
  } catch (const std::exception&) {
    return {};
  }
}

// For the same. The sandbox says no more than that it has no such program.
void point_to_program(const Ending& ending, const std::string& program, const std::string& skill) {
  if (!ending.not_found || ::isatty(STDERR_FILENO) != 1) return;
  const std::string where = explain_missing_program(program, skill, directory_of(skill));
  if (!where.empty()) print_error(where);
}

// For the same: git finds a repository from any directory of it, where all of it is shown. 128 is
// how git ends when it finds none.
void point_to_repository(const Ending& ending, const Options& options) {
  if (ending.status != 128 || !options.workspace.empty() || ::isatty(STDERR_FILENO) != 1) return;
  std::error_code error;
  std::filesystem::path at = std::filesystem::current_path(error);
  if (error || std::filesystem::exists(at / ".git", error)) return;
  while (at.has_relative_path()) {
    at = at.parent_path();
    if (!std::filesystem::exists(at / ".git", error)) continue;
    print_error(
        "The workspace is the current directory, and the repository begins above it. To use "
        "all of it: sc run --workspace " +
        printable(at.string()) + " -- …");
    return;
  }
}

int run(const Invocation& invocation, const Options& options) {
  if (invocation.command.empty()) {
    throw UsageError("Which command? Put it behind \"--\": sc run --skill weather -- curl wttr.in");
  }
  if (invocation.command.front().empty()) {
    throw UsageError("The command behind \"--\" is empty: is a variable of the shell not set?");
  }
  const auto start = std::chrono::steady_clock::now();
  const auto took = [start] {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                 start);
  };
  if (invocation.json) {
    Stdio stdio(Stdio::Capture{});
    Result result = run_command(stdio, options, invocation.command);
    explain_time_limit(result.ending, options, took());
    print_result(result, stdio, took());
    return result.ending.status;
  }
  Stdio stdio(Stdio::on_terminal());
  Ending ending = run_command(stdio, options, invocation.command).ending;
  explain_time_limit(ending, options, took());
  if (!ending.message.empty()) print_error(ending.message);
  point_to_repository(ending, options);
  point_to_program(ending, invocation.command.front(), options.skill);
  point_to_refusals(ending.refused, ending.refused_records);
  return ending.status;
}

// The parser ends at "--", so it does not know what stands behind it.
class RunHelp : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string name) const override {
    return "Usage: " + name + " [OPTIONS] -- CMD ARG...\n";
  }
};

}  // namespace

void add_run(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      add_command(app, invocation, "run", "Run a command in a sandbox",
                  "sc run --skill weather --workspace . --timeout 30s -- curl https://wttr.in");
  command->formatter(std::make_shared<RunHelp>());
  auto options = std::make_shared<Options>();
  command
      ->add_option(
          "--skill", options->skill,
          "Whose approval counts (without it: the agent's, who may use the workspace only)")
      ->type_name("NAME")
      ->check(check_name);
  command
      ->add_option(
          "--session", options->session,
          "Name of a session: its commands share a sandbox, with its processes, its\n"
          "network and its /tmp. What they leave running stays, until the session was idle\n"
          "for 10 minutes or \"sc stop --session KEY\" ends it; what it writes after its command\n"
          "has returned goes nowhere")
      ->type_name("KEY")
      ->check(check_name);
  command
      ->add_option(
          "--workspace", options->workspace,
          "What the command may use, read-only or (default) also write; the current directory "
          "unless given")
      ->type_name("DIR[:ro|:rw]")
      ->check(check_workspace);
  command
      ->add_option(
          "--timeout", options->timeout,
          "End the command after this time, e.g. 30s, 5m, 1h; never later than the limit \"wall\"")
      ->type_name("DURATION")
      ->check(check_duration);
  command->callback([&invocation, options] {
    invocation.action = [&invocation, options] { return run(invocation, *options); };
  });
}

}  // namespace sharkcage::cli
