#include "supervisor/shell_line.h"

#include <algorithm>
#include <array>

namespace sharkcage {
namespace {

// No shell sees anything but itself in these, wherever they stand in a word behind the first.
bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_./,:@+=-%").find(c) != std::string_view::npos;
}

// The reserved words and the built-in commands of dash, bash, ksh and busybox.
constexpr std::array<std::string_view, 96> kOfTheShell = {
    ".",         ":",       "alias",     "autoload",  "bg",       "bind",    "break",    "builtin",
    "caller",    "case",    "cd",        "chdir",     "command",  "compgen", "complete", "compopt",
    "continue",  "coproc",  "declare",   "dirs",      "disown",   "do",      "done",     "echo",
    "elif",      "else",    "enable",    "enum",      "esac",     "eval",    "exec",     "exit",
    "export",    "false",   "fc",        "fg",        "fi",       "float",   "for",      "function",
    "getconf",   "getopts", "hash",      "help",      "hist",     "history", "if",       "in",
    "integer",   "jobs",    "kill",      "let",       "local",    "logout",  "mapfile",  "nameref",
    "namespace", "newgrp",  "nocorrect", "noglob",    "popd",     "print",   "printf",   "pushd",
    "pwd",       "r",       "read",      "readarray", "readonly", "repeat",  "return",   "select",
    "set",       "shift",   "shopt",     "sleep",     "source",   "stop",    "suspend",  "test",
    "then",      "time",    "times",     "trap",      "true",     "type",    "typeset",  "ulimit",
    "umask",     "unalias", "unset",     "until",     "wait",     "whence",  "which",    "while"};

bool may_be_executed(std::string_view word) {
  if (word.find('/') != std::string_view::npos) return word.find('=') == std::string_view::npos;
  return word.find_first_of("=%") == std::string_view::npos &&
         std::find(kOfTheShell.begin(), kOfTheShell.end(), word) == kOfTheShell.end();
}

}  // namespace

std::optional<std::vector<std::string>> words_without_shell(std::string_view line) {
  std::vector<std::string> words;
  for (std::size_t start = 0; start < line.size();) {
    const std::size_t end = std::min(line.find(' ', start), line.size());
    const std::string_view word = line.substr(start, end - start);
    if (!std::all_of(word.begin(), word.end(), is_plain)) return std::nullopt;
    if (!word.empty()) words.emplace_back(word);
    start = end + 1;
  }
  if (words.empty() || !may_be_executed(words.front())) return std::nullopt;
  return words;
}

}  // namespace sharkcage
