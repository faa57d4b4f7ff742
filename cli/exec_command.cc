// sc exec: its entry in the list of commands. main becomes sc-exec before anything is parsed, so
// that neither its arguments nor its --help pass through here.
#include "cli/commands.h"

namespace sharkcage::cli {

void add_exec(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand(
      "exec", "Run the one command that a ticket stands for (used by hosts; it becomes sc-exec)");
  command->callback(
      [&invocation] { invocation.action = []() -> int { exec_sibling("sc-exec", {}); }; });
}

}  // namespace sharkcage::cli
