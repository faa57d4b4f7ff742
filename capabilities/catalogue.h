// The catalogue: every capability that a manifest can ask for, as data
// (capabilities/catalogue.json, embedded at build time). A new capability is an entry, not code.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/config.h"

namespace sharkcage {

enum class Risk { kLow, kMedium, kHigh, kDangerous };
std::string_view name_of(Risk risk);  // "low", "medium", "high", "dangerous"

// What the words of a scope mean.
enum class ScopeKind {
  kNone,       // no scope
  kHosts,      // host patterns (hosts.h)
  kPaths,      // absolute paths or ~/…
  kPrograms,   // program names or absolute paths
  kVariables,  // names of environment variables
  kPatterns,   // for the service behind the capability; shown to people, enforced by nobody here
  kProviders,  // keys of `providers`
};
std::string_view name_of(ScopeKind kind);

// What a service needs to be reachable: hosts (with ports) and the variables that hold its address
// and its token.
struct Service {
  std::vector<std::string> hosts;
  std::vector<std::string> variables;
};

struct CatalogueEntry {
  std::string name;   // "network.external"
  std::string label;  // for people: "reach hosts on the internet"
  Risk risk = Risk::kDangerous;
  ScopeKind scope = ScopeKind::kNone;
  bool scope_required = false;
  bool internal = false;  // kHosts and services: internal addresses are meant
  bool write = false;     // kPaths: read-write instead of read-only
  Service service;
  std::map<std::string, Service> providers;
};

// Immutable after construction.
class Catalogue {
 public:
  // The built-in entries, and those of `Config::capabilities`: new names, or a built-in service
  // with other `hosts` and `variables`. Throws UserError naming the entry.
  explicit Catalogue(const std::map<std::string, Json>& own = {});

  // Null when there is none of that name.
  const CatalogueEntry* find(std::string_view name) const;
  // The known name that is nearest to a misspelt one; empty when none is near.
  std::string nearest(std::string_view name) const;
  // Sorted by name.
  const std::map<std::string, CatalogueEntry, std::less<>>& entries() const { return entries_; }
  // Whether a program (a path or a name, "python3.11") can run any program text that it is given.
  bool is_interpreter(std::string_view program) const;

 private:
  static CatalogueEntry read_entry(const std::string& name, const Json& value,
                                   const std::string& place);
  static void check_entry(const CatalogueEntry& entry, const Json& value, const std::string& place);
  void add_own(const std::string& name, const Json& value);

  std::map<std::string, CatalogueEntry, std::less<>> entries_;
  std::vector<std::string> interpreters_;
};

}  // namespace sharkcage
