// sc: the command line of Sharkcage.
#include <algorithm>
#include <iostream>
#include <set>
#include <span>
#include <system_error>

#include "cli/commands.h"
#include "cli/stdio.h"
#include "common/errors.h"
#include "common/text.h"

namespace sharkcage::cli {
namespace {

void add_all(CLI::App& app, Invocation& invocation) {
  add_start(app, invocation);
  add_stop(app, invocation);
  add_status(app, invocation);
  add_doctor(app, invocation);
  add_run(app, invocation);
  add_exec(app, invocation);
  add_skill(app, invocation);
  add_approve(app, invocation);
  add_deny(app, invocation);
  add_revoke(app, invocation);
  add_verify(app, invocation);
  add_audit(app, invocation);
}

// A word where a command, or a command's command ("sc skill add"), should stand and that is none.
void check_command_name(const CLI::App& app, std::span<const std::string> arguments,
                        const std::string& before = "sc") {
  const std::string word = arguments.empty() ? "" : arguments.front();
  if (word.starts_with('-') || app.get_require_subcommand_min() == 0) return;
  std::string known;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == word) {
      return check_command_name(*command, arguments.subspan(1), before + ' ' + word);
    }
    known += (known.empty() ? "" : ", ") + command->get_name();
  }
  throw UsageError((word.empty() ? "Which command? " : "There is no command \"" + word + "\". ") +
                   "Commands: " + known + ". See: " + before + " --help");
}

// The help of the command that the parser got to.
std::string help_for(const CLI::App& app) {
  std::string name = "sc";
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().back();
    name += ' ' + command->get_name();
  }
  return "See: " + name + " --help";
}

int report(const Invocation& invocation, const std::string& message, const std::string& remedy,
           int status, const Json& details = nullptr) {
  if (invocation.json) {
    Json error = {{"message", message}};
    if (!remedy.empty()) error["remedy"] = remedy;
    if (details.is_object()) error["data"] = details;
    print_json({{"error", std::move(error)}});
  } else {
    print_error(message, remedy);
  }
  return status;
}

int perform(const Invocation& invocation) {
  try {
    return invocation.action();
  } catch (const UsageError& error) {
    return report(invocation, error.what(), "", kWrongUsage);
  } catch (const UserError& error) {
    return report(invocation, error.what(), error.remedy(), kFailed);
  } catch (const rpc::RemoteError& error) {
    return report(invocation, error.what(), text_of(error.error().data, "remedy"), kFailed,
                  error.error().data);
  } catch (const std::system_error& error) {
    return report(invocation, error.what(), "", kFailed);
  }
}

int run(std::vector<std::string> arguments) {
  Invocation invocation;
  CLI::App app("Sharkcage: approve what a skill may do, run it in a sandbox, see what it did.",
               "sc");
  app.set_version_flag("--version", SHARKCAGE_VERSION);
  app.require_subcommand(1);
  app.footer("Each command has its own help with an example: sc approve --help");
  add_all(app, invocation);

  if (arguments.empty()) {
    std::cerr << app.help();
    return kWrongUsage;
  }
  if (arguments.front() == "exec") {
    try {
      exec_sibling("sc-exec", {arguments.begin() + 1, arguments.end()});
    } catch (const UserError& error) {
      print_error(error.what(), error.remedy());
      return kSandboxFailed;
    }
  }
  const bool runs = arguments.front() == "run";
  if (runs) {
    const auto end = std::find(arguments.begin(), arguments.end(), "--");
    if (end != arguments.end()) invocation.command.assign(end + 1, arguments.end());
    arguments.erase(end, arguments.end());
  }
  try {
    check_command_name(app, arguments);
    std::reverse(arguments.begin(), arguments.end());  // as App::parse takes them
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    const bool stray = runs && invocation.command.empty() &&
                       dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
    print_error(error.what() + std::string(stray ? ". The command goes behind \"--\"" : ""),
                help_for(app));
    return kWrongUsage;
  } catch (const UsageError& error) {
    print_error(error.what());
    return kWrongUsage;
  }
  return perform(invocation);
}

}  // namespace
}  // namespace sharkcage::cli

int main(int argc, char** argv) {
  using namespace sharkcage::cli;
  try {
    occupy_standard_fds();
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    print_error(error.what());
    return kFailed;
  }
}
