// sc status: what the supervisor does right now.
#include <unistd.h>

#include "cli/commands.h"
#include "common/places.h"

namespace sharkcage::cli {
namespace {

std::chrono::milliseconds milliseconds_of(const Json& object, const char* member) {
  return std::chrono::milliseconds(number_of(object, member));
}

Cell process_cell(const Json& process) {
  const std::int64_t pid = number_of(process, "pid");
  const std::int64_t restarts = number_of(process, "restarts");
  if (pid <= 0) return {"not running", Colour::kRed};
  std::string text = "process " + std::to_string(pid);
  if (restarts == 0) return text;
  return {text + ", started again " + counted(static_cast<std::uint64_t>(restarts), "time"),
          Colour::kYellow};
}

Cell audit_cell(const Json& audit) {
  const std::string records =
      counted(static_cast<std::uint64_t>(number_of(audit, "records")), "record");
  if (audit.value("healthy", false)) return {records, Colour::kPlain};
  return {"cannot be written, so nothing runs: " + text_of(audit, "reason", "unknown reason"),
          Colour::kRed};
}

void add_outside_clients(Table& table, const Json& clients) {
  for (const Json& client : clients) {
    const std::string text = text_of(client, "name") + " on port " +
                             std::to_string(number_of(client, "port")) + ", as " +
                             text_of(client, "skill");
    const bool approved = client.value("approved", false);
    table.add({"Outside client",
               approved ? Cell{text + ", proxy in " + text_of(client, "file"), Colour::kPlain}
                        : Cell{text + ", which has no approved network", Colour::kYellow}});
  }
}

void print_calls(const Json& calls, bool colours) {
  if (calls.empty()) return;
  Table table({"CALL", "SKILL", "TOOL", "STATE", "AGE", "REFUSED", "SESSION"});
  for (const Json& call : calls) {
    table.add({text_of(call, "call"), text_of(call, "skill"), text_of(call, "tool"),
               text_of(call, "state"), human_duration(milliseconds_of(call, "age_ms")),
               std::to_string(number_of(call, "refused")), text_of(call, "session")});
  }
  print("\n" + table.text(colours));
}

void print_sandboxes(const Json& sandboxes, bool colours) {
  if (sandboxes.empty()) return;
  Table table({"SANDBOX", "SKILL", "AGE", "IDLE", "COMMANDS", "PROCESSES", "SESSION"});
  for (const Json& sandbox : sandboxes) {
    const std::int64_t commands = number_of(sandbox, "commands");
    table.add({text_of(sandbox, "kind"), text_of(sandbox, "skill"),
               human_duration(milliseconds_of(sandbox, "age_ms")),
               commands > 0 ? "" : human_duration(milliseconds_of(sandbox, "idle_ms")),
               std::to_string(commands), std::to_string(number_of(sandbox, "processes")),
               text_of(sandbox, "session")});
  }
  print("\n" + table.text(colours));
}

int status(const Invocation& invocation) {
  const Json answer = connect().call("status.get", Json::object());
  if (invocation.json) {
    print_json(answer);
    return kDone;
  }
  const bool colours = colours_on(STDOUT_FILENO);
  const Json skills = answer.value("skills", Json::object());
  const Json processes = answer.value("processes", Json::object());
  const Json calls = answer.value("calls", Json::array());
  const Json sandboxes = answer.value("sandboxes", Json::array());
  Table table;
  table.add({"Supervisor", text_of(answer, "server") + ", process " +
                               std::to_string(number_of(answer, "pid")) + ", up " +
                               human_duration(milliseconds_of(answer, "uptime_ms"))});
  table.add({"Install", text_of(answer, "install") + ", " + find_places().socket()});
  table.add({"Launcher", process_cell(processes.value("launcher", Json::object()))});
  table.add({"Egress", process_cell(processes.value("egress", Json::object()))});
  table.add({"Audit log", audit_cell(answer.value("audit", Json::object()))});
  table.add({"Skills", std::to_string(number_of(skills, "installed")) + " installed, " +
                           std::to_string(number_of(skills, "approved")) + " approved, " +
                           std::to_string(number_of(skills, "pending")) + " waiting for you"});
  table.add(
      {"Sessions", std::to_string(number_of(answer, "sessions")) + " that agent hosts have open"});
  table.add({"Calls", std::to_string(calls.size())});
  table.add({"Sandboxes", std::to_string(sandboxes.size())});
  add_outside_clients(table, answer.value("egress_clients", Json::array()));
  for (const Json& unknown : answer.value("unknown_names", Json::array())) {
    table.add({"Configuration",
               {text_of(unknown, "in") + " names " + text_of(unknown, "name") +
                    ", and there is no such " + text_of(unknown, "what") + ": it holds for nobody",
                Colour::kYellow}});
  }
  print(table.text(colours));
  print_calls(calls, colours);
  print_sandboxes(sandboxes, colours);
  return kDone;
}

}  // namespace

void add_status(CLI::App& app, Invocation& invocation) {
  CLI::App* command = add_command(app, invocation, "status",
                                  "Show the supervisor, its calls and its health", "sc status");
  command->callback(
      [&invocation] { invocation.action = [&invocation] { return status(invocation); }; });
}

}  // namespace sharkcage::cli
