#include "capabilities/catalogue.h"

#include <algorithm>
#include <limits>

#include "capabilities/embedded.h"
#include "capabilities/hosts.h"
#include "capabilities/variables.h"
#include "common/errors.h"
#include "common/json.h"
#include "common/text.h"

namespace sharkcage {
namespace {

constexpr std::string_view kRiskNames[] = {"low", "medium", "high", "dangerous"};
constexpr std::string_view kScopeNames[] = {"none",      "hosts",    "paths",    "programs",
                                            "variables", "patterns", "providers"};
constexpr std::size_t kMaxLabel = 60;  // so that a prompt has room for the scope

const std::string& text_of(const Json& value, const std::string& place) {
  if (!value.is_string()) throw UserError(place + ": expected a string");
  return value.get_ref<const std::string&>();
}

bool bool_of(const Json& value, const std::string& place) {
  if (!value.is_boolean()) throw UserError(place + ": expected true or false");
  return value.get<bool>();
}

// The place of `value` among `names`, as the enumeration that they name.
template <typename Enum, std::size_t N>
Enum choice_of(const Json& value, const std::string_view (&names)[N], const std::string& place) {
  const std::string& text = text_of(value, place);
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == text) return static_cast<Enum>(i);
  }
  std::string known;
  for (const std::string_view name : names) known.append(known.empty() ? "" : ", ").append(name);
  throw UserError(place + ": unknown value \"" + printable(text) + "\"", "Known: " + known + ".");
}

std::vector<std::string> hosts_of(const Json& value, const std::string& place) {
  if (!value.is_array()) throw UserError(place + ": expected a list of hosts");
  std::vector<std::string> hosts;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const std::string item = place + "[" + std::to_string(i) + "]";
    hosts.push_back(parse_host(text_of(value[i], item), item).text());
  }
  return hosts;
}

std::vector<std::string> variables_of(const Json& value, const std::string& place) {
  if (!value.is_array()) throw UserError(place + ": expected a list of variable names");
  std::vector<std::string> variables;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const std::string item = place + "[" + std::to_string(i) + "]";
    const std::string& name = text_of(value[i], item);
    if (!is_variable_name(name) || is_code_variable(name) || is_reserved_variable(name)) {
      throw UserError(
          item + ": \"" + printable(name) + "\" is no variable that a skill can be given",
          "Name a variable that holds data, such as an address or a token.");
    }
    variables.push_back(name);
  }
  return variables;
}

// Sets `key` of a service. False when it is no key of one.
bool read_service(Service& service, const std::string& key, const Json& value,
                  const std::string& place) {
  if (key == "hosts") {
    service.hosts = hosts_of(value, place);
  } else if (key == "variables") {
    service.variables = variables_of(value, place);
  } else {
    return false;
  }
  return true;
}

std::map<std::string, Service> providers_of(const Json& value, const std::string& place) {
  if (!value.is_object()) throw UserError(place + ": expected an object of providers");
  std::map<std::string, Service> providers;
  for (const auto& [name, member] : value.items()) {
    const std::string at = place + "." + printable(name);
    if (!member.is_object()) throw UserError(at + ": expected an object with hosts and variables");
    for (const auto& [key, part] : member.items()) {
      if (!read_service(providers[name], key, part, at + "." + printable(key))) {
        throw UserError(at + ": unknown key \"" + printable(key) + "\"",
                        "Known: hosts, variables.");
      }
    }
  }
  return providers;
}

// "namespace.word", two to four words of [a-z0-9_-].
bool is_capability_name(std::string_view name) {
  if (name.size() > 64 || name.find("..") != std::string_view::npos) return false;
  if (name.empty() || name.front() == '.' || name.back() == '.') return false;
  if (name.find('.') == std::string_view::npos) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
  });
}

// Edits that turn one word into another: insert, delete, replace (Levenshtein).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view name_of(Risk risk) {
  return kRiskNames[static_cast<std::size_t>(risk)];
}
std::string_view name_of(ScopeKind kind) {
  return kScopeNames[static_cast<std::size_t>(kind)];
}

Catalogue::Catalogue(const std::map<std::string, Json>& own) {
  const std::string source = "catalogue";
  const Json built_in = parse_json(kCatalogueText, source);
  for (const auto& [name, value] : built_in.at("capabilities").items()) {
    entries_.emplace(name, read_entry(name, value, source + ": " + name));
  }
  built_in.at("interpreters").get_to(interpreters_);
  for (const auto& [name, value] : own) add_own(name, value);
}

CatalogueEntry Catalogue::read_entry(const std::string& name, const Json& value,
                                     const std::string& place) {
  if (!is_capability_name(name)) {
    throw UserError(place + ": \"" + printable(name) + "\" is no name of a capability",
                    "Use lower-case words joined by dots, such as \"data.calendar\".");
  }
  if (!value.is_object()) throw UserError(place + ": expected an object");
  CatalogueEntry entry;
  entry.name = name;
  for (const auto& [key, member] : value.items()) {
    const std::string at = place + "." + printable(key);
    if (key == "label") {
      entry.label = text_of(member, at);
    } else if (key == "risk") {
      entry.risk = choice_of<Risk>(member, kRiskNames, at);
    } else if (key == "scope") {
      entry.scope = choice_of<ScopeKind>(member, kScopeNames, at);
    } else if (key == "scope_required") {
      entry.scope_required = bool_of(member, at);
    } else if (key == "internal") {
      entry.internal = bool_of(member, at);
    } else if (key == "write") {
      entry.write = bool_of(member, at);
    } else if (key == "providers") {
      entry.providers = providers_of(member, at);
    } else if (!read_service(entry.service, key, member, at)) {
      throw UserError(place + ": unknown key \"" + printable(key) + "\"",
                      "Known: label, risk, scope, scope_required, internal, write, hosts, "
                      "variables, providers.");
    }
  }
  check_entry(entry, value, place);
  return entry;
}

void Catalogue::check_entry(const CatalogueEntry& entry, const Json& value,
                            const std::string& place) {
  if (entry.label.empty() || entry.label.size() > kMaxLabel ||
      printable(entry.label) != entry.label) {
    throw UserError(place +
                    ".label: expected 1 to 60 bytes of plain text that say what is granted");
  }
  if (!value.contains("risk")) {
    throw UserError(place + ".risk: missing", "Say low, medium, high or dangerous.");
  }
  if ((entry.scope == ScopeKind::kProviders) == entry.providers.empty()) {
    throw UserError(place + ": providers and the scope kind \"providers\" go together");
  }
}

// Own entries may add to the catalogue. Of a built-in entry they may only say where its service is:
// what a person has learnt that a name means stays so.
void Catalogue::add_own(const std::string& name, const Json& value) {
  const std::string place = "configuration: capabilities." + printable(name);
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    entries_.emplace(name, read_entry(name, value, place));
    return;
  }
  if (!value.is_object()) throw UserError(place + ": expected an object");
  for (const auto& [key, member] : value.items()) {
    Service& service = found->second.service;
    const bool service_entry = !service.hosts.empty() || !service.variables.empty();
    if (!service_entry || !read_service(service, key, member, place + "." + printable(key))) {
      throw UserError(
          place + ": \"" + printable(key) + "\" of a built-in capability cannot be changed",
          "Choose another name for an own capability.");
    }
  }
}

const CatalogueEntry* Catalogue::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

std::string Catalogue::nearest(std::string_view name) const {
  if (name.empty() || name.size() > 64) return {};
  std::string best;
  // Beyond a third of its letters it is another word.
  std::size_t bound = std::max<std::size_t>(2, name.size() / 3) + 1;
  for (const auto& [known, entry] : entries_) {
    const std::size_t edits = distance(name, known);
    if (edits < bound) {
      bound = edits;
      best = known;
    }
  }
  if (!best.empty()) return best;
  // "exec" for "system.exec", "files.read" for "system.files.read".
  for (const auto& [known, entry] : entries_) {
    if (known.ends_with("." + std::string(name))) return known;
  }
  return {};
}

bool Catalogue::is_interpreter(std::string_view program) const {
  std::string_view base = program.substr(program.rfind('/') + 1);
  const auto known = [&](std::string_view word) {
    return std::find(interpreters_.begin(), interpreters_.end(), word) != interpreters_.end();
  };
  if (known(base)) return true;
  // "python3.11", "lua5.4", "vim.basic", "ruby3.1": a version or a variant after the name.
  while (!base.empty() &&
         ((base.back() >= '0' && base.back() <= '9') || base.back() == '.' || base.back() == '-')) {
    base.remove_suffix(1);
  }
  const std::size_t dot = base.find('.');
  return known(base) || (dot != std::string_view::npos && known(base.substr(0, dot)));
}

}  // namespace sharkcage
