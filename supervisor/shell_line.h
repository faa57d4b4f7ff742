// Command lines that need no shell.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sharkcage {

// The words of `line` if `/bin/sh -c line` would do nothing but look for the first one along PATH
// and execute it with the others: no quotes, patterns, redirections, assignments, no word that a
// shell keeps for itself (POSIX, Shell Command Language 2). Nothing for any other line, and where
// it is in doubt. Starting a shell costs more than starting most programs.
std::optional<std::vector<std::string>> words_without_shell(std::string_view line);

}  // namespace sharkcage
