// sc approve: shows what a skill asks for and takes a person's decision. What is approved is
// exactly the content that was shown: its digest goes along with the decision.
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "cli/commands.h"
#include "cli/skill_view.h"
#include "common/errors.h"
#include "common/text.h"

namespace sharkcage::cli {
namespace {

struct Options {
  std::string name;
  bool yes = false;
  bool pending = false;
  std::vector<std::string> only;
};

int list_pending(const Invocation& invocation) {
  const Json answer = connect().call("approval.list", Json::object());
  if (invocation.json) {
    print_json(answer);
    return kDone;
  }
  const auto now = std::chrono::system_clock::now();
  Table table({"REQUEST", "SKILL", "ASKED", "TOOL", "SESSION", "WANTS"});
  for (const Json& request : answer.at("requests")) {
    std::string wants;
    for (const Json& capability : request.value("capabilities", Json::array())) {
      if (!wants.empty()) wants += "; ";
      const std::string scope = text_of(capability, "scope");
      wants += capability.is_string() ? capability.get<std::string>()
                                      : text_of(capability, "capability");
      if (!scope.empty()) wants += " " + scope;
    }
    table.add({text_of(request, "request"),
               {text_of(request, "skill"), Colour::kBold},
               local_time(text_of(request, "created"), now),
               text_of(request, "tool"),
               text_of(request, "session"),
               wants});
  }
  if (table.empty()) {
    print("Nothing waits for a decision.\n");
    return kDone;
  }
  print(table.text(colours_on(STDOUT_FILENO)) +
        "\nApprove a skill with: sc approve SKILL    Refuse with: sc deny REQUEST\n");
  return kDone;
}

// The capabilities that this decision is about. Throws UserError for a name that is not asked for.
Json chosen_capabilities(const Json& skill, const std::vector<std::string>& only) {
  const Json& asked = skill.at("capabilities");
  if (only.empty()) return asked;
  Json chosen = Json::array();
  for (const std::string& name : only) {
    bool found = false;
    for (const Json& capability : asked) {
      if (text_of(capability, "capability") != name) continue;
      chosen.push_back(capability);
      found = true;
    }
    if (!found) {
      throw UserError(text_of(skill, "name") + " does not ask for " + name,
                      "See what it asks for: sc skill show " + text_of(skill, "name"));
    }
  }
  return chosen;
}

std::string question(const Json& skill, const Json& chosen, bool colours) {
  std::string text = skill_heading(skill, colours);
  text += "  from " + printable(text_of(skill, "source")) + ", content " +
          short_digest(text_of(skill, "content_digest")) + "\n\n";
  if (chosen.empty()) {
    text += "  It asks for nothing beyond the workspace.\n";
  } else {
    text += capability_table(chosen, false, colours, 2);
  }
  const std::size_t left_out = skill.at("capabilities").size() - chosen.size();
  if (left_out > 0)
    text += "  " + std::to_string(left_out) + " more that it asks for: not granted.\n";
  return text + limits_line(skill) + never_line(skill) + '\n';
}

bool confirmed() {
  std::cout << "Approve this? [y/N] " << std::flush;
  std::string answer;
  if (!std::getline(std::cin, answer)) return false;
  std::transform(answer.begin(), answer.end(), answer.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return answer == "y" || answer == "yes";
}

int approve(const Invocation& invocation, const Options& options) {
  if (options.pending) return list_pending(invocation);
  if (options.name.empty()) {
    throw UsageError(
        "Which skill? sc approve NAME, or sc approve --pending for the list of requests");
  }
  const bool can_ask =
      ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1 && !invocation.json;
  rpc::Client client = connect();
  const Json shown = client.call("skill.show", {{"name", options.name}});
  const Json& skill = shown.at("skill");
  const Json chosen = chosen_capabilities(skill, options.only);
  if (!options.yes && !can_ask) {
    throw UserError("Nobody can be asked here: stdin or stdout is not a terminal",
                    "Look at it with sc skill show " + options.name + ", then: sc approve " +
                        options.name + " --yes");
  }
  const bool colours = colours_on(STDOUT_FILENO);
  if (!invocation.json) print(question(skill, chosen, colours) + hint_lines(shown));
  if (!options.yes && !confirmed()) {
    print("Nothing was approved.\n");
    return kFailed;
  }
  Json params = {{"name", options.name}, {"content_digest", skill.at("content_digest")}};
  if (!options.only.empty()) params["only"] = options.only;
  const Json answer = client.call("skill.approve", std::move(params));
  if (invocation.json) {
    print_json(answer);
  } else {
    print(Cell("Approved.", Colour::kGreen).painted(colours) +
          " It holds for exactly these files; a change needs a new approval.\n");
  }
  return kDone;
}

}  // namespace

void add_approve(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      add_command(app, invocation, "approve", "Decide what a skill may do",
                  "sc approve weather\n  sc approve weather --only network.external --yes");
  auto options = std::make_shared<Options>();
  command->add_option("NAME", options->name, "The skill")->type_name("");
  command->add_flag("--yes", options->yes, "Do not ask (needed without a terminal)");
  command->add_option("--only", options->only, "Grant only these capabilities")
      ->delimiter(',')
      ->expected(1)
      ->type_name("CAP[,CAP]");
  command->add_flag("--pending", options->pending, "List the requests that wait for a decision");
  command->callback([&invocation, options] {
    invocation.action = [&invocation, options] { return approve(invocation, *options); };
  });
}

}  // namespace sharkcage::cli
