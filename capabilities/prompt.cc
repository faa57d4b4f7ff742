#include "capabilities/prompt.h"

#include <algorithm>

#include "common/bytes.h"
#include "common/text.h"

namespace sharkcage {
namespace {

constexpr std::size_t kMaxTitle = 80;
constexpr std::size_t kMaxText = 512;
constexpr std::size_t kShortScope = 48;

// What the catalogue has not got is as dangerous as can be.
Risk risk_of(const CapabilityRequest& request, const Catalogue& catalogue) {
  const CatalogueEntry* entry = catalogue.find(request.capability);
  return entry == nullptr ? Risk::kDangerous : entry->risk;
}

const char* severity_of(Risk risk) {
  if (risk == Risk::kLow) return "info";
  return risk == Risk::kMedium ? "warning" : "critical";
}

// At most `max` bytes of `text`, cut between characters and then marked.
std::string clipped(const std::string& text, std::size_t max) {
  if (text.size() <= max) return text;
  std::string cut = text.substr(0, max - 3);
  while (!cut.empty() && !is_utf8(cut)) cut.pop_back();
  return cut + "…";
}

// The words of a scope, as many as fit into `room` bytes but at least one, and how many are left.
std::string words_of(const std::vector<std::string>& scope, std::size_t room) {
  std::string text;
  for (std::size_t i = 0; i < scope.size(); ++i) {
    const std::string word = (i == 0 ? "" : ", ") + printable(scope[i]);
    if (i > 0 && text.size() + word.size() > room) {
      return text + " and " + std::to_string(scope.size() - i) + " more";
    }
    text += i == 0 ? clipped(word, room) : word;
  }
  return text;
}

// What a scope does not say by itself.
std::string remark_on(const CapabilityRequest& request, const Catalogue& catalogue) {
  const CatalogueEntry* entry = catalogue.find(request.capability);
  if (entry == nullptr) return " (not in the catalogue)";
  if (entry->scope == ScopeKind::kPatterns && !request.scope.empty()) {
    return " (the service must enforce this)";
  }
  if (entry->scope != ScopeKind::kPrograms) return {};
  if (request.scope.empty()) return {};
  std::string interpreters;
  for (const std::string& program : request.scope) {
    if (!catalogue.is_interpreter(program)) continue;
    interpreters.append(interpreters.empty() ? "" : ", ");
    interpreters += printable(program.substr(program.rfind('/') + 1));
  }
  if (interpreters.empty()) return {};
  return " (" + clipped(interpreters, kShortScope) + ": anything that this interpreter can do)";
}

std::string described(const CapabilityRequest& request, const Catalogue& catalogue,
                      std::size_t room) {
  const CatalogueEntry* entry = catalogue.find(request.capability);
  std::string text = entry == nullptr ? printable(request.capability) : entry->label;
  if (!request.scope.empty()) {
    text += ": " + words_of(request.scope, room);
  } else if (entry != nullptr && entry->scope == ScopeKind::kPrograms) {
    text += ": any";
  }
  return text + remark_on(request, catalogue);
}

std::string join_lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text.append(text.empty() ? "" : "\n").append(line);
  return text;
}

// As many whole lines as fit, and a last one that says how many do not.
std::string cut_lines(const std::vector<std::string>& lines, const std::string& name) {
  std::string text;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string rest =
        "and " + std::to_string(lines.size() - i) + " more, see: sc skill show " + name;
    std::string with = text + (text.empty() ? "" : "\n") + lines[i];
    const bool last = i + 1 == lines.size();
    // The line after this one must still find room for the remark.
    if (with.size() + (last ? 0 : rest.size() + 1) > kMaxText) {
      return text + (text.empty() ? "" : "\n") + rest;
    }
    text = std::move(with);
  }
  return text;
}

// From the most to the least that can be said in `kMaxText` bytes.
std::string description_of(const std::vector<CapabilityRequest>& sorted, const std::string& name,
                           const std::vector<std::string>& held, const Catalogue& catalogue) {
  if (sorted.empty()) {
    const std::string all = join_lines(held);
    return "It runs its own files and uses the workspace, nothing else." +
           (all.empty() ? "" : "\n" + all);
  }
  std::vector<std::string> full;
  std::vector<std::string> plain;
  std::vector<std::string> brief;
  for (const CapabilityRequest& request : sorted) {
    const std::string risk = "[" + std::string(name_of(risk_of(request, catalogue))) + "] ";
    plain.push_back(risk + described(request, catalogue, kMaxText));
    brief.push_back(risk + described(request, catalogue, kShortScope));
    full.push_back(plain.back());
    if (!request.reason.empty()) full.back() += " – it says: " + printable(request.reason);
  }
  for (auto* lines : {&full, &plain, &brief}) lines->insert(lines->end(), held.begin(), held.end());
  for (const auto* lines : {&full, &plain}) {
    const std::string text = join_lines(*lines);
    if (text.size() <= kMaxText) return text;
  }
  return cut_lines(brief, name);
}

}  // namespace

Risk risk_of(const std::vector<CapabilityRequest>& asked, const Catalogue& catalogue) {
  Risk highest = Risk::kLow;
  for (const CapabilityRequest& request : asked) {
    highest = std::max(highest, risk_of(request, catalogue));
  }
  return highest;
}

std::string describe(const CapabilityRequest& request, const Catalogue& catalogue) {
  return described(request, catalogue, 4096);
}

Prompt approval_prompt(const Manifest& manifest, const std::vector<CapabilityRequest>& asked,
                       bool changed, const Limits& configured, const Catalogue& catalogue) {
  std::vector<CapabilityRequest> sorted = asked;
  std::stable_sort(sorted.begin(), sorted.end(), [&](const auto& a, const auto& b) {
    return risk_of(a, catalogue) > risk_of(b, catalogue);
  });
  const std::string count = std::to_string(asked.size());
  std::string rest = changed ? " has changed and asks for " : " asks for ";
  rest += asked.empty() ? "no permissions"
                        : count + (asked.size() == 1 ? " permission" : " permissions");
  Prompt prompt;
  prompt.title = "Skill " + clipped(manifest.name, kMaxTitle - 6 - rest.size()) + rest;
  std::vector<std::string> held;
  const std::string limits = limits_in_words(manifest.limits, configured);
  if (!limits.empty()) held.push_back("Held to " + limits);
  if (!manifest.deny_hosts.empty()) {
    held.push_back("Never reaches " + words_of(manifest.deny_hosts, kShortScope));
  }
  prompt.description = description_of(sorted, manifest.name, held, catalogue);
  prompt.severity = severity_of(risk_of(asked, catalogue));
  return prompt;
}

Json to_json(const CapabilityRequest& request, const Catalogue& catalogue) {
  const CatalogueEntry* entry = catalogue.find(request.capability);
  return {{"capability", request.capability},
          {"label", entry == nullptr ? request.capability : entry->label},
          {"risk", name_of(risk_of(request, catalogue))},
          {"scope", request.scope},
          {"reason", request.reason}};
}

Json to_json(const Request& request, const Catalogue& catalogue) {
  Json capabilities = Json::array();
  for (const CapabilityRequest& asked : request.asked) {
    capabilities.push_back(to_json(asked, catalogue));
  }
  return {{"request", request.id},
          {"skill", request.skill},
          {"session", request.session},
          {"tool", request.tool},
          {"created", request.created},
          {"state", name_of(request.state)},
          {"content_digest", request.content_digest},
          {"severity", severity_of(risk_of(request.asked, catalogue))},
          {"capabilities", std::move(capabilities)}};
}

Json to_json(const Look& look, const Catalogue& catalogue) {
  const Skill& skill = look.skill;
  const std::optional<Approval>& approval = look.standing.approval;
  Json capabilities = Json::array();
  for (const CapabilityRequest& asked : skill.manifest.capabilities) {
    Json item = to_json(asked, catalogue);
    item["granted"] = look.standing.approved() &&
                      std::find(approval->granted.begin(), approval->granted.end(), asked) !=
                          approval->granted.end();
    capabilities.push_back(std::move(item));
  }
  Json json = {{"name", skill.name},
               {"version", skill.manifest.version},
               {"description", skill.manifest.description},
               {"source", skill.source},
               {"manifest_digest", skill.manifest.digest},
               {"content_digest", skill.content_digest},
               {"state", name_of(look.standing.kind)},
               {"capabilities", std::move(capabilities)}};
  if (approval) {
    json["approved_at"] = approval->time;
    json["approved_by"] = approval->decided_by;
  }
  if (!look.problem.empty()) json["problem"] = look.problem;
  return json;
}

}  // namespace sharkcage
