// sc exec: the entry of sc-exec in the list of commands. main executes the program before anything
// is parsed; this file is what `sc exec --help` prints.
#include "cli/commands.h"

namespace sharkcage::cli {

void add_exec(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand(
      "exec", "Run the one command that a ticket stands for (used by hosts; it becomes sc-exec)");
  command->footer(
      "Example:\n  SHARKCAGE_TICKET=... sc exec\n\n"
      "A host asks the supervisor for the ticket with exec.prepare and passes it in the "
      "environment.\n"
      "Exits with the command's own status, 124 at its time limit, 125 when the sandbox could not "
      "be\n"
      "made, 126 when the call is blocked.");
  command->callback(
      [&invocation] { invocation.action = []() -> int { exec_sibling("sc-exec", {}); }; });
}

}  // namespace sharkcage::cli
