// Text for the person who decides, and the same for machines.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "capabilities/skills.h"

namespace sharkcage {

// As OpenClaw's approval prompt takes it.
struct Prompt {
  std::string title;        // at most 80 bytes
  std::string description;  // at most 512 bytes; the riskiest first, nothing left out silently
  std::string severity;     // "info", "warning", "critical"
};

Prompt approval_prompt(const Manifest& manifest, const std::vector<CapabilityRequest>& asked,
                       bool changed, const Catalogue& catalogue);

// One capability in a line of plain words: "reach hosts on the internet: wttr.in:443".
std::string describe(const CapabilityRequest& request, const Catalogue& catalogue);

// The highest risk of these. kLow for none.
Risk risk_of(const std::vector<CapabilityRequest>& asked, const Catalogue& catalogue);

Json to_json(const CapabilityRequest& request, const Catalogue& catalogue);
Json to_json(const Approval& approval, const Catalogue& catalogue);
Json to_json(const Request& request, const Catalogue& catalogue);
// For `sc skill show` and `sc skill list`: name, version, source, digests, "state" ("approved",
// "changed", "unapproved"), capabilities with risk and label, and the approval or null.
Json to_json(const Skill& skill, const Standing& standing, const Catalogue& catalogue);

}  // namespace sharkcage
