// The configuration of a git repository that a command makes: which of it may be written.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sharkcage::sandbox {

struct GitSetting {
  std::string section;     // lower case
  std::string subsection;  // as it is
  std::string key;         // lower case
  std::string value;       // unquoted; empty for a key without "="
};

// git-config(1), "Syntax", of which only what git itself writes is taken: a section a line, a
// setting a line, no "[section.subsection]", no carriage returns. Nothing for any other text.
std::optional<std::vector<GitSetting>> parse_git_config(std::string_view text);

// Empty when every setting is one that makes nobody run a program; else the name of the first other
// one ("core.sshcommand"), or "its syntax".
std::string refused_git_setting(std::string_view text);

}  // namespace sharkcage::sandbox
