// A skill as people read it: its state and what it asks for (docs/protocol.md, `Skill`).
#pragma once

#include <string>

#include "common/json.h"

namespace sharkcage::cli {

// The capabilities as a table: risk, what it allows, its scope, the skill's reason; with `granted`
// also whether it was approved. The riskiest first.
std::string capability_table(const Json& capabilities, bool granted, bool colours,
                             std::size_t indent);

// "weather 1.0.0 (pending)", then its description.
std::string skill_heading(const Json& skill, bool colours);

// "Held to 512 MiB of memory, 1 processor." with indentation and a line's end, or nothing where the
// manifest names no limits.
std::string limits_line(const Json& skill);
// A line for each of the answer's "hints".
std::string hint_lines(const Json& answer);
// "  Never reaches …", or nothing.
std::string never_line(const Json& skill);

// A sentence on what the state means and what to do about it. Empty for an approved skill.
std::string state_hint(const Json& skill);

// The highest risk among the capabilities; "none" when there are none.
std::string highest_risk(const Json& capabilities);

// The first 12 digits of a digest.
std::string short_digest(const std::string& digest);

}  // namespace sharkcage::cli
