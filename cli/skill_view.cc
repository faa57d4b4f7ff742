#include "cli/skill_view.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "cli/style.h"
#include "common/text.h"

namespace sharkcage::cli {
namespace {

int rank(const std::string& risk) {
  if (risk == "low") return 0;
  if (risk == "medium") return 1;
  if (risk == "high") return 2;
  return 3;  // "dangerous", and anything that this version does not know
}

// What it allows with its scope, whichever of the two the label already says.
std::string allowance(const Json& capability) {
  const std::string label = text_of(capability, "label", text_of(capability, "capability"));
  const std::string scope = text_of(capability, "scope");
  if (scope.empty() || label.find(scope) != std::string::npos) return label;
  return label + ": " + scope;
}

}  // namespace

std::string capability_table(const Json& capabilities, bool granted, bool colours,
                             std::size_t indent) {
  std::vector<const Json*> sorted;
  for (const Json& capability : capabilities) sorted.push_back(&capability);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Json* a, const Json* b) {
    return rank(text_of(*a, "risk")) > rank(text_of(*b, "risk"));
  });
  std::vector<std::string> headings = {"RISK", "CAPABILITY", "ALLOWS IT TO", "ITS REASON"};
  if (granted) headings.insert(headings.begin(), "GRANTED");
  Table table(headings);
  for (const Json* capability : sorted) {
    const std::string risk = text_of(*capability, "risk");
    std::vector<Cell> row = {{risk, colour_of_risk(risk)},
                             {text_of(*capability, "capability"), Colour::kBold},
                             allowance(*capability),
                             {text_of(*capability, "reason"), Colour::kDim}};
    if (granted) {
      const bool yes = capability->value("granted", false);
      row.insert(row.begin(), Cell(yes ? "yes" : "no", yes ? Colour::kGreen : Colour::kDim));
    }
    table.add(std::move(row));
  }
  return table.text(colours, indent, columns_of(STDOUT_FILENO));
}

std::string skill_heading(const Json& skill, bool colours) {
  const std::string state = text_of(skill, "state");
  std::string text = Cell(text_of(skill, "name"), Colour::kBold).painted(colours) + ' ' +
                     printable(text_of(skill, "version"));
  if (!state.empty()) text += " (" + Cell(state, colour_of_state(state)).painted(colours) + ')';
  text += '\n';
  const std::string description = text_of(skill, "description");
  if (!description.empty()) text += "  " + printable(description) + '\n';
  return text;
}

std::string limits_line(const Json& skill) {
  const std::string limits = text_of(skill, "limits");
  return limits.empty() ? "" : "  Held to " + printable(limits) + ".\n";
}

std::string never_line(const Json& skill) {
  const std::string hosts = text_of(skill, "deny_hosts");
  return hosts.empty() ? "" : "  Never reaches " + printable(hosts) + ".\n";
}

std::string hint_lines(const Json& answer) {
  std::string text;
  for (const Json& hint : answer.value("hints", Json::array())) {
    if (hint.is_string()) text += "Note: " + printable(hint.get<std::string>()) + '\n';
  }
  return text;
}

std::string state_hint(const Json& skill) {
  const std::string state = text_of(skill, "state");
  const std::string approve = "sc approve " + printable(text_of(skill, "name"));
  if (state == "pending") return "It may not run yet. To decide about it: " + approve;
  if (state == "changed") {
    return "Its files are not the ones that were approved, so it may not run. To decide about the "
           "new "
           "ones: " +
           approve;
  }
  if (state == "revoked") return "Its approval was withdrawn. To approve it again: " + approve;
  if (state == "missing") {
    return "Its directory " + printable(text_of(skill, "source")) +
           " is gone or holds no valid manifest. sc verify DIR says which; then: sc skill add DIR";
  }
  return {};
}

std::string highest_risk(const Json& capabilities) {
  std::string highest = "none";
  int highest_rank = -1;
  for (const Json& capability : capabilities) {
    const std::string risk = text_of(capability, "risk");
    if (rank(risk) > highest_rank) {
      highest = risk;
      highest_rank = rank(risk);
    }
  }
  return highest;
}

std::string short_digest(const std::string& digest) {
  return digest.substr(0, 12);
}

}  // namespace sharkcage::cli
