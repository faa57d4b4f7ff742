// Attribution: which skill does a tool call belong to?
//
// The rules of docs/design: a tool that a manifest declares; a simple command whose program lies in
// a skill; the skill whose SKILL.md this run read last, unless the command names another one; else,
// and in any doubt, the built-in `agent`. Pure functions over what the caller looked up.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "capabilities/manifest.h"
#include "supervisor/sessions.h"

namespace sharkcage {

struct AttributionInput {
  std::string tool;
  std::string command;      // of exec; empty for other tools
  std::string workdir;      // absolute; where relative programs start
  std::string declared_by;  // the skill whose manifest declares `tool`; empty for none
  std::string last_read;    // the skill whose SKILL.md the run read last; empty for none
};

struct Attribution {
  std::string skill;
  bool registered = true;  // false: `skill` is known to the host only, so nothing can be approved
  const char* rule;        // which rule decided, for the audit log
};

Attribution attribute(const AttributionInput& input, const SkillView& skills);

// The words of a command that a shell would run as one simple command without expanding anything;
// nothing where there are operators, expansions, redirections or an unfinished quote, as then
// nobody can say from the text what runs.
std::optional<std::vector<std::string>> simple_command(std::string_view command);

// `path` made absolute against `base`, with ".", ".." and double slashes removed. Text only.
std::string normal_path(std::string_view path, std::string_view base);

// `path` is `folder` or lies below it. Both in normal form.
bool lies_in(std::string_view path, std::string_view folder);

// The registered skill whose SKILL.md `path` is; empty for none.
std::string skill_of_document(const SkillView& skills, std::string_view path);

}  // namespace sharkcage
