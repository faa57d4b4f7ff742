// sc skill: which skills there are.
#include <unistd.h>

#include <filesystem>

#include "cli/commands.h"
#include "cli/skill_view.h"
#include "common/errors.h"
#include "common/text.h"

namespace sharkcage::cli {
namespace {

// The supervisor has another working directory than the person.
std::string absolute_directory(const std::string& path) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  if (error) throw UserError("Cannot open " + printable(path) + " (" + error.message() + ")");
  return real.string();
}

int add(const Invocation& invocation, const std::string& directory) {
  const Json answer = connect().call("skill.add", {{"path", absolute_directory(directory)}});
  if (invocation.json) {
    print_json(answer);
    return kDone;
  }
  const bool colours = colours_on(STDOUT_FILENO);
  const Json& skill = answer.at("skill");
  const std::string changed = text_of(answer, "changed");
  std::string text = skill_heading(skill, colours);
  if (skill.at("capabilities").empty()) {
    text += "  It asks for nothing beyond the workspace.\n";
  } else {
    text += capability_table(skill.at("capabilities"), false, colours, 2);
  }
  text += limits_line(skill) + never_line(skill);
  if (changed == "none") text += "Nothing has changed since it was added.\n";
  text += hint_lines(answer);
  const std::string next = state_hint(skill);
  if (!next.empty()) text += next + '\n';
  print(text);
  return kDone;
}

int list(const Invocation& invocation) {
  const Json answer = connect().call("skill.list", Json::object());
  if (invocation.json) {
    print_json(answer);
    return kDone;
  }
  Table table({"NAME", "VERSION", "STATE", "RISK", "DIRECTORY"});
  for (const Json& skill : answer.at("skills")) {
    const std::string state = text_of(skill, "state");
    const std::string risk = highest_risk(skill.value("capabilities", Json::array()));
    table.add({{text_of(skill, "name"), Colour::kBold},
               text_of(skill, "version"),
               {state, colour_of_state(state)},
               {risk, colour_of_risk(risk == "none" ? "low" : risk)},
               text_of(skill, "source")});
  }
  print(table.empty() ? "No skills yet. Add one with: sc skill add DIR\n"
                      : table.text(colours_on(STDOUT_FILENO)));
  return kDone;
}

int show(const Invocation& invocation, const std::string& name) {
  const Json answer = connect().call("skill.show", {{"name", name}});
  if (invocation.json) {
    print_json(answer);
    return kDone;
  }
  const bool colours = colours_on(STDOUT_FILENO);
  const Json& skill = answer.at("skill");
  const auto now = std::chrono::system_clock::now();
  Table facts;
  facts.add({"Directory", text_of(skill, "source")});
  facts.add({"Content", text_of(skill, "content_digest")});
  facts.add({"Manifest", text_of(skill, "manifest_digest")});
  const std::string approved = text_of(skill, "approved_at");
  if (!approved.empty()) {
    facts.add({"Approved", local_time(approved, now) + " by " + text_of(skill, "approved_by")});
  }
  std::string text = skill_heading(skill, colours) + facts.text(colours, 2) + '\n';
  if (skill.at("capabilities").empty()) {
    text += "  It asks for nothing beyond the workspace.\n";
  } else {
    text += capability_table(skill.at("capabilities"), true, colours, 2);
  }
  text += limits_line(skill) + never_line(skill);
  const std::string next = state_hint(skill);
  if (!next.empty()) text += '\n' + next + '\n';
  print(text);
  return kDone;
}

int remove(const Invocation& invocation, const std::string& name) {
  const Json answer = connect().call("skill.remove", {{"name", name}});
  if (invocation.json) {
    print_json(answer);
  } else {
    print(printable(name) +
          " is removed, its approval and its stored copy too. The directory that it "
          "came from is untouched.\n");
  }
  return kDone;
}

using ByName = int (*)(const Invocation&, const std::string&);

void add_by_name(CLI::App& parent, Invocation& invocation, const std::string& name,
                 const std::string& description, const std::string& example,
                 const std::string& operand, const std::string& meaning, ByName action) {
  CLI::App* command = add_command(parent, invocation, name, description, example);
  auto value = std::make_shared<std::string>();
  command->add_option(operand, *value, meaning)->type_name("")->required();
  command->callback([&invocation, value, action] {
    invocation.action = [&invocation, value, action] { return action(invocation, *value); };
  });
}

}  // namespace

void add_skill(CLI::App& app, Invocation& invocation) {
  CLI::App* skill = app.add_subcommand("skill", "Add, list, show, approve and remove skills");
  skill->require_subcommand(1);
  skill->footer("Example:\n  sc skill add ./weather");
  add_by_name(*skill, invocation, "add", "Register the skill in a directory; approves nothing",
              "sc skill add ./weather", "DIR", "The skill's directory", add);
  CLI::App* list_command =
      add_command(*skill, invocation, "list", "List the skills", "sc skill list");
  list_command->callback(
      [&invocation] { invocation.action = [&invocation] { return list(invocation); }; });
  add_by_name(*skill, invocation, "show", "Show what a skill asks for and what was granted",
              "sc skill show weather", "NAME", "The skill", show);
  add_by_name(*skill, invocation, "remove", "Forget a skill and its approval",
              "sc skill remove weather", "NAME", "The skill", remove);
  add_approve(*skill, invocation);
}

}  // namespace sharkcage::cli
