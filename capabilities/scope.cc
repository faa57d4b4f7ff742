#include "capabilities/scope.h"

#include <algorithm>

#include "capabilities/hosts.h"
#include "capabilities/variables.h"
#include "common/errors.h"
#include "common/text.h"

namespace sharkcage {
namespace {

[[noreturn]] void refuse(const std::string& place, const std::string& word, const std::string& why,
                         const std::string& remedy) {
  throw UserError(place + ": \"" + printable(word.substr(0, 256)) + "\" " + why, remedy);
}

std::string normal_host(const std::string& word, const CatalogueEntry& entry,
                        const std::string& place) {
  const HostPattern pattern = parse_host(word, place);
  if (!entry.internal && is_internal(pattern)) {
    refuse(place, word, "is on this machine or in a local network",
           "Ask for it under a capability for internal hosts, such as \"network.internal\".");
  }
  const bool one_label = pattern.kind == HostPattern::Kind::kNamesBelow &&
                         pattern.host.find('.', 2) == std::string::npos;
  if (!entry.internal && one_label) {
    refuse(place, word, "is every name of a top-level domain", "Name the hosts that are needed.");
  }
  return pattern.text();
}

std::string normal_path(const std::string& word, const std::string& place) {
  static const std::string remedy =
      "Write an absolute path, or one that begins with \"~/\", without \".\" and \"..\".";
  if (word.find_first_of("*?[") != std::string::npos) {
    refuse(place, word, "holds a pattern", "Name a directory: a grant covers everything below it.");
  }
  if (word == "~" || word == "~/") return "~";
  std::string path = word.starts_with("~/") ? word.substr(1) : word;
  if (path.front() != '/') refuse(place, word, "is not an absolute path", remedy);
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (!is_normal_path(path)) refuse(place, word, "is not in normal form", remedy);
  return word.front() == '~' ? "~" + path : path;
}

std::string normal_program(const std::string& word, const std::string& place) {
  if (word.front() == '/') {
    if (is_normal_path(word) && word != "/") return word;
    refuse(place, word, "is not in normal form", "Write the path without \".\" and \"..\".");
  }
  if (word.find('/') != std::string::npos) {
    refuse(place, word, "is a relative path",
           "Programs in the skill itself need no grant; name others alone or by absolute path.");
  }
  const bool plain = std::all_of(word.begin(), word.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '+' || c == '-' || c == '@';
  });
  if (!plain || word.front() == '-' || word == "." || word == ".." || word.size() > 255) {
    refuse(place, word, "is not a name of a program",
           "Name one program without arguments, such as \"curl\".");
  }
  return word;
}

std::string normal_variable(const std::string& word, const std::string& place) {
  if (!is_variable_name(word)) {
    refuse(place, word, "is not a name of an environment variable",
           "Use letters, digits and underscores, not beginning with a digit.");
  }
  if (is_code_variable(word)) {
    refuse(place, word, "makes programs load or run other code, so it is never granted",
           "Remove it; a skill can set it for its own commands.");
  }
  if (is_reserved_variable(word)) {
    refuse(place, word, "is set by the sandbox itself", "Remove it.");
  }
  return word;
}

std::string normal_provider(const std::string& word, const CatalogueEntry& entry,
                            const std::string& place) {
  if (entry.providers.contains(word)) return word;
  std::string known;
  for (const auto& [name, service] : entry.providers) {
    known.append(known.empty() ? "" : ", ").append(name);
  }
  refuse(place, word, "is not a provider in the catalogue", "Known: " + known + ".");
}

// "light.*", "sensor.kitchen_temperature", "climate".
std::string normal_pattern(const std::string& word, const std::string& place) {
  const bool plain = std::all_of(word.begin(), word.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == '*' || c == '/' || c == ':';
  });
  if (plain) return word;
  refuse(place, word, "is not a pattern of entities",
         "Write one such as \"light.*\" or \"sensor\".");
}

}  // namespace

bool is_normal_path(std::string_view path) {
  if (path.empty() || path.front() != '/') return false;
  if (path.find('\0') != std::string_view::npos) return false;
  if (path == "/") return true;
  for (std::size_t start = 1;;) {
    const std::size_t slash = path.find('/', start);
    const std::string_view part =
        path.substr(start, slash == std::string_view::npos ? slash : slash - start);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    start = slash + 1;
  }
}

std::string normal_scope_word(const std::string& word, const CatalogueEntry& entry,
                              const std::string& place) {
  if (word.empty()) throw UserError(place + ": must not be empty");
  switch (entry.scope) {
    case ScopeKind::kHosts:
      return normal_host(word, entry, place);
    case ScopeKind::kPaths:
      return normal_path(word, place);
    case ScopeKind::kPrograms:
      return normal_program(word, place);
    case ScopeKind::kVariables:
      return normal_variable(word, place);
    case ScopeKind::kPatterns:
      return normal_pattern(word, place);
    case ScopeKind::kProviders:
      return normal_provider(word, entry, place);
    case ScopeKind::kNone:
      break;
  }
  throw UserError(place + ": \"" + entry.name + "\" takes no scope", "Remove the key.");
}

std::string scope_example(const CatalogueEntry& entry) {
  switch (entry.scope) {
    case ScopeKind::kHosts:
      return "a list of hosts such as [\"example.com:443\"]";
    case ScopeKind::kPaths:
      return "a list of paths such as [\"~/notes\"]";
    case ScopeKind::kPrograms:
      return "a list of programs such as [\"curl\"]";
    case ScopeKind::kVariables:
      return "a list of variables such as [\"EDITION\"]";
    case ScopeKind::kPatterns:
      return "a list of patterns such as [\"light.*\"]";
    case ScopeKind::kProviders:
      return "a list of providers such as [\"" + entry.providers.begin()->first + "\"]";
    case ScopeKind::kNone:
      break;
  }
  return "no scope";
}

std::vector<std::string> scope_hints(const std::vector<std::string>& scope,
                                     const CatalogueEntry* entry, bool notes) {
  if (entry == nullptr || entry->scope != ScopeKind::kHosts) return {};
  std::vector<HostPattern> patterns;
  for (const std::string& word : scope) patterns.push_back(parse_host(word, entry->name));
  return notes ? host_notes(patterns) : host_hints(patterns);
}

}  // namespace sharkcage
