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

// `configured`: the limits that the manifest's can only lower.
Prompt approval_prompt(const Manifest& manifest, const std::vector<CapabilityRequest>& asked,
                       bool changed, const Limits& configured, const Catalogue& catalogue);

// One capability in a line of plain words: "reach hosts on the internet: wttr.in:443".
std::string describe(const CapabilityRequest& request, const Catalogue& catalogue);

// The highest risk of these. kLow for none.
Risk risk_of(const std::vector<CapabilityRequest>& asked, const Catalogue& catalogue);

// {capability, label, risk, scope, reason}.
Json to_json(const CapabilityRequest& request, const Catalogue& catalogue);
// An element of `approval.list`: {request, skill, session, tool, created, state, content_digest,
// severity, capabilities}.
Json to_json(const Request& request, const Catalogue& catalogue);
// The `Skill` of docs/protocol.md, each capability with "granted", and "problem" where there is
// one.
Json to_json(const Look& look, const Catalogue& catalogue);

}  // namespace sharkcage
