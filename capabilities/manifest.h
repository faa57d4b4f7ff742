// The manifest: what a skill asks for (sharkcage.json, or plugin.json of the same shape).
// capabilities/manifest.schema.json is its definition; this code follows it and also checks what a
// schema cannot say: names of capabilities, hosts, paths, programs, variables.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "capabilities/catalogue.h"
#include "common/config.h"
#include "common/json.h"

namespace sharkcage {

inline constexpr std::size_t kMaxManifestBytes = 1u << 20;
// The baseline that every session has; no skill can have this name.
inline constexpr std::string_view kAgent = "agent";

struct CapabilityRequest {
  std::string capability;
  std::vector<std::string> scope;  // empty: without a scope
  std::string reason;              // the skill's own words

  Json to_json() const;  // {"capability", "scope", "reason"}
  bool operator==(const CapabilityRequest&) const = default;
};

// The inverse, for lists that were stored. Throws UserError.
std::vector<CapabilityRequest> requests_from_json(const Json& list);
Json to_json(const std::vector<CapabilityRequest>& list);

struct ToolDeclaration {
  std::string name;
  std::string description;
  Json parameters;  // a JSON Schema, an object
};

struct Manifest {
  std::string name;
  std::string version;
  std::string description;
  std::vector<CapabilityRequest> capabilities;
  std::vector<ToolDeclaration> tools;
  std::string runtime;  // "node", "python3", "sh" or empty
  std::string main;     // relative path in the skill, or empty
  Json limits;          // as written, or null
  std::vector<std::string>
      deny_hosts;  // patterns that the skill never reaches, whatever it is granted

  Json json;           // the whole document
  std::string digest;  // SHA-256 of its canonical form

  // The configured limits, lowered by the manifest's; it can raise none.
  Limits limits_within(const Limits& configured) const;
};

// [a-z0-9][a-z0-9._-]{0,63}, and not `kAgent`.
bool is_skill_name(std::string_view name);

// Throws UserError: `source` (the file), the field, what is wrong with it, and the remedy.
Manifest parse_manifest(std::string_view text, const std::string& source,
                        const Catalogue& catalogue);

// A manifest that was valid once, e.g. before an own entry left the catalogue: read without judging
// it.
Manifest recorded_manifest(const Json& json);

// Remarks on a valid manifest for whoever writes it, e.g. "*.example.com" without example.com.
std::vector<std::string> manifest_hints(const Manifest& manifest, const Catalogue& catalogue);
// The same that `sc verify --strict` accepts: "example.com" without "*.example.com".
std::vector<std::string> manifest_notes(const Manifest& manifest, const Catalogue& catalogue);

// Names of a manifest in a skill's directory, in the order in which they are looked for.
inline constexpr std::string_view kManifestFiles[] = {"sharkcage.json", "plugin.json"};

}  // namespace sharkcage
