#include "capabilities/manifest.h"

#include <algorithm>
#include <regex>
#include <set>

#include "capabilities/hosts.h"
#include "capabilities/scope.h"
#include "common/errors.h"
#include "common/hash.h"
#include "common/text.h"

namespace sharkcage {
namespace {

// As in manifest.schema.json.
constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kMaxItems = 64;
constexpr std::size_t kMaxScopeWord = 1024;
constexpr std::size_t kMaxReason = 512;
constexpr std::size_t kMaxDescription = 1024;
constexpr std::size_t kMaxPath = 1024;
constexpr std::size_t kMaxCapabilityName = 64;

// Characters, as a schema counts them; the text is valid UTF-8.
std::size_t length_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

void check_object(const Json& value, const std::string& place) {
  if (!value.is_object()) throw UserError(place + ": expected an object");
}

void check_keys(const Json& value, const std::string& place,
                std::initializer_list<std::string_view> known) {
  for (const auto& item : value.items()) {
    if (std::find(known.begin(), known.end(), item.key()) != known.end()) continue;
    std::string list;
    for (const std::string_view key : known) list.append(list.empty() ? "" : ", ").append(key);
    throw UserError(place + ": unknown key \"" + printable(item.key().substr(0, 64)) + "\"",
                    "Known: " + list + ".");
  }
}

// Text that is shown to the person who decides must not be able to change what the terminal or the
// chat shows around it.
const std::string& text_of(const Json& value, const std::string& place, std::size_t min,
                           std::size_t max) {
  if (!value.is_string()) throw UserError(place + ": expected a string");
  const auto& text = value.get_ref<const std::string&>();
  if (length_of(text) < min) throw UserError(place + ": must not be empty");
  if (length_of(text) > max) {
    throw UserError(place + ": longer than " + std::to_string(max) + " characters");
  }
  if (printable(text) != text) {
    throw UserError(place + ": holds a control character or an invisible one: \"" +
                        printable(text.substr(0, 64)) + "\"",
                    "Write it as one line of plain text.");
  }
  return text;
}

const Json& member(const Json& value, const char* key, const std::string& place) {
  const auto found = value.find(key);
  if (found == value.end()) throw UserError(place + key + ": missing");
  return *found;
}

const Json& list_of(const Json& value, const std::string& place, std::size_t min) {
  if (!value.is_array())
    throw UserError(place + ": expected a list", "Write it in brackets: [ … ].");
  if (value.size() < min) {
    // Without a scope system.exec would be any program.
    throw UserError(place + ": the list is empty",
                    place.ends_with("scope") ? "List what is needed, or leave the capability out."
                                             : "Leave the key out if there is nothing to list.");
  }
  if (value.size() > kMaxItems) {
    throw UserError(place + ": more than " + std::to_string(kMaxItems) + " entries");
  }
  return value;
}

bool is_version(const std::string& text) {
  static const std::regex shape("[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}");
  return std::regex_match(text, shape);
}

bool is_tool_name(const std::string& text) {
  static const std::regex shape("[A-Za-z][A-Za-z0-9_-]{0,63}");
  return std::regex_match(text, shape);
}

std::string read_name(const Json& value, const std::string& place) {
  const std::string& name = text_of(value, place, 1, 256);
  if (name == kAgent) {
    throw UserError(place + ": \"agent\" is the name of the baseline that every session has",
                    "Choose another name.");
  }
  if (!is_skill_name(name)) {
    throw UserError(place + ": \"" + name + "\" is not a name of a skill",
                    "Use 1 to 64 lower-case letters, digits, dots, underscores and hyphens, "
                    "beginning with a letter or digit.");
  }
  return name;
}

std::string read_version(const Json& value, const std::string& place) {
  const std::string& version = text_of(value, place, 1, 256);
  if (!is_version(version)) {
    throw UserError(place + ": \"" + version + "\" is not a version",
                    "Write one such as \"1.0.0\".");
  }
  return version;
}

const CatalogueEntry& known_capability(const std::string& name, const std::string& place,
                                       const Catalogue& catalogue) {
  if (const CatalogueEntry* entry = catalogue.find(name)) return *entry;
  const std::string near = catalogue.nearest(name);
  throw UserError(place + ": unknown capability \"" + name + "\"",
                  near.empty() ? "See the list in docs/capabilities.md, or add an own entry under "
                                 "\"capabilities\" in the configuration."
                               : "Did you mean \"" + near + "\"?");
}

void read_scope(CapabilityRequest& request, const Json* scope, const CatalogueEntry& entry,
                const std::string& place) {
  if (scope == nullptr) {
    if (!entry.scope_required) return;
    throw UserError(place + ": missing",
                    "Say for what \"" + entry.name + "\" is needed: " + scope_example(entry) + ".");
  }
  if (entry.scope == ScopeKind::kNone) {
    throw UserError(place + ": \"" + entry.name + "\" takes no scope", "Remove the key.");
  }
  list_of(*scope, place, 1);
  std::set<std::string> seen;
  for (std::size_t i = 0; i < scope->size(); ++i) {
    const std::string item = place + "[" + std::to_string(i) + "]";
    const std::string word =
        normal_scope_word(text_of((*scope)[i], item, 1, kMaxScopeWord), entry, item);
    if (!seen.insert(word).second) throw UserError(item + ": \"" + word + "\" stands twice");
    request.scope.push_back(word);
  }
}

CapabilityRequest read_capability(const Json& value, const std::string& place,
                                  const Catalogue& catalogue) {
  check_object(value, place);
  check_keys(value, place, {"capability", "scope", "reason"});
  CapabilityRequest request;
  const std::string name_place = place + ".capability";
  request.capability =
      text_of(member(value, "capability", place + "."), name_place, 1, kMaxCapabilityName);
  const CatalogueEntry& entry = known_capability(request.capability, name_place, catalogue);
  const auto scope = value.find("scope");
  read_scope(request, scope == value.end() ? nullptr : &*scope, entry, place + ".scope");
  const auto reason = value.find("reason");
  if (reason == value.end()) {
    throw UserError(place + ".reason: missing",
                    "Say in a few words why the skill needs \"" + request.capability + "\".");
  }
  request.reason = text_of(*reason, place + ".reason", 1, kMaxReason);
  return request;
}

ToolDeclaration read_tool(const Json& value, const std::string& place) {
  check_object(value, place);
  check_keys(value, place, {"name", "description", "parameters"});
  ToolDeclaration tool;
  tool.name = text_of(member(value, "name", place + "."), place + ".name", 1, 256);
  if (!is_tool_name(tool.name)) {
    throw UserError(place + ".name: \"" + tool.name + "\" is not a name of a tool",
                    "Use a letter, then up to 63 letters, digits, underscores and hyphens.");
  }
  tool.description = text_of(member(value, "description", place + "."), place + ".description", 1,
                             kMaxDescription);
  tool.parameters = value.value("parameters", Json::object());
  if (!tool.parameters.is_object()) {
    throw UserError(place + ".parameters: expected a JSON Schema, which is an object");
  }
  return tool;
}

std::vector<ToolDeclaration> read_tools(const Json& value, const std::string& place) {
  std::vector<ToolDeclaration> tools;
  std::set<std::string> names;
  for (std::size_t i = 0; i < list_of(value, place, 0).size(); ++i) {
    const std::string item = place + "[" + std::to_string(i) + "]";
    tools.push_back(read_tool(value[i], item));
    if (!names.insert(tools.back().name).second) {
      throw UserError(item + ".name: \"" + tools.back().name + "\" stands twice");
    }
  }
  return tools;
}

std::string read_runtime(const Json& value, const std::string& place) {
  const std::string& runtime = text_of(value, place, 0, 64);
  if (runtime != "node" && runtime != "python3" && runtime != "sh") {
    throw UserError(place + ": unknown runtime \"" + runtime + "\"", "Known: node, python3, sh.");
  }
  return runtime;
}

// A path in the skill: relative, in normal form, not above it.
std::string read_main(const Json& value, const std::string& place) {
  const std::string& path = text_of(value, place, 1, kMaxPath);
  if (path.front() == '/' || !is_normal_path("/" + path)) {
    throw UserError(place + ": \"" + path + "\" is not a relative path in the skill",
                    "Write one such as \"scripts/main.mjs\", without \".\" and \"..\".");
  }
  return path;
}

std::vector<std::string> read_deny_hosts(const Json& value, const std::string& place) {
  std::vector<std::string> patterns;
  for (std::size_t i = 0; i < list_of(value, place, 1).size(); ++i) {
    const std::string item = place + "[" + std::to_string(i) + "]";
    patterns.push_back(parse_host(text_of(value[i], item, 1, kMaxScopeWord), item).text());
  }
  return patterns;
}

Manifest read_manifest(Json json, const std::string& at, const Catalogue& catalogue) {
  Manifest manifest;
  check_keys(json, at + "the manifest",
             {"name", "version", "description", "capabilities", "tools", "runtime", "main",
              "deny_hosts", "limits", "$schema"});
  if (const auto schema = json.find("$schema"); schema != json.end()) {
    text_of(*schema, at + "$schema", 0, 256);
  }
  manifest.name = read_name(member(json, "name", at), at + "name");
  manifest.version = read_version(member(json, "version", at), at + "version");
  if (const auto text = json.find("description"); text != json.end()) {
    manifest.description = text_of(*text, at + "description", 0, kMaxDescription);
  }
  const Json& capabilities = list_of(member(json, "capabilities", at), at + "capabilities", 0);
  for (std::size_t i = 0; i < capabilities.size(); ++i) {
    const std::string place = at + "capabilities[" + std::to_string(i) + "]";
    manifest.capabilities.push_back(read_capability(capabilities[i], place, catalogue));
  }
  if (const auto tools = json.find("tools"); tools != json.end()) {
    manifest.tools = read_tools(*tools, at + "tools");
  }
  if (const auto runtime = json.find("runtime"); runtime != json.end()) {
    manifest.runtime = read_runtime(*runtime, at + "runtime");
  }
  if (const auto main = json.find("main"); main != json.end()) {
    manifest.main = read_main(*main, at + "main");
  }
  if (!manifest.tools.empty() && manifest.main.empty()) {
    throw UserError(at + "main: missing, though the skill declares tools",
                    "Name the program in the skill that carries them out.");
  }
  if (const auto hosts = json.find("deny_hosts"); hosts != json.end()) {
    manifest.deny_hosts = read_deny_hosts(*hosts, at + "deny_hosts");
  }
  if (const auto limits = json.find("limits"); limits != json.end()) {
    limits_from_json(*limits, {}, at + "limits");
    manifest.limits = *limits;
  }
  manifest.json = std::move(json);
  return manifest;
}

}  // namespace

bool is_skill_name(std::string_view name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= 64 && name != kAgent && plain(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return plain(c) || c == '.' || c == '_' || c == '-'; });
}

Manifest parse_manifest(std::string_view text, const std::string& source,
                        const Catalogue& catalogue) {
  Json json = parse_json(text, source, {kMaxManifestBytes, kMaxDepth});
  if (!json.is_object()) throw UserError(source + ": expected a JSON object");
  Manifest manifest = read_manifest(std::move(json), source + ": ", catalogue);
  try {
    manifest.digest = sha256_hex(canonical_json(manifest.json));
  } catch (const std::invalid_argument& error) {
    throw UserError(source + ": holds " + error.what(), "Write integers below 2^53.");
  }
  return manifest;
}

Manifest recorded_manifest(const Json& json) {
  Manifest manifest;
  manifest.json = json;
  manifest.digest = sha256_hex(canonical_json(json));
  try {
    json.at("name").get_to(manifest.name);
    json.at("version").get_to(manifest.version);
    manifest.description = json.value("description", "");
    manifest.capabilities = requests_from_json(json.at("capabilities"));
    for (const Json& tool : json.value("tools", Json::array())) {
      manifest.tools.push_back({tool.at("name").get<std::string>(),
                                tool.at("description").get<std::string>(),
                                tool.value("parameters", Json::object())});
    }
    manifest.runtime = json.value("runtime", "");
    manifest.main = json.value("main", "");
    manifest.deny_hosts = json.value("deny_hosts", std::vector<std::string>{});
    manifest.limits = json.value("limits", Json());
    return manifest;
  } catch (const Json::exception& error) {
    throw UserError(std::string("a recorded manifest: ") + error.what());
  }
}

Json CapabilityRequest::to_json() const {
  return {{"capability", capability}, {"scope", scope}, {"reason", reason}};
}

Json to_json(const std::vector<CapabilityRequest>& list) {
  Json json = Json::array();
  for (const CapabilityRequest& request : list) json.push_back(request.to_json());
  return json;
}

std::vector<CapabilityRequest> requests_from_json(const Json& list) {
  try {
    std::vector<CapabilityRequest> requests;
    for (const Json& item : list) {
      requests.push_back({item.at("capability").get<std::string>(),
                          item.value("scope", std::vector<std::string>{}),
                          item.value("reason", "")});
    }
    return requests;
  } catch (const Json::exception& error) {
    throw UserError(std::string("recorded capabilities: ") + error.what());
  }
}

Limits Manifest::limits_within(const Limits& configured) const {
  if (limits.is_null()) return configured;
  return limits_from_json(limits, configured, "limits").lowered_by(configured);
}

namespace {

std::vector<std::string> remarks(const Manifest& manifest, const Catalogue& catalogue, bool notes) {
  std::vector<std::string> remarks;
  const std::size_t count = manifest.capabilities.size();
  for (std::size_t i = 0; i < count; ++i) {
    const CapabilityRequest& request = manifest.capabilities[i];
    const std::string place = "capabilities[" + std::to_string(i) + "].scope";
    const CatalogueEntry* entry = catalogue.find(request.capability);
    for (const std::string& remark : scope_hints(request.scope, entry, notes)) {
      remarks.push_back(place + ": " + remark);
    }
  }
  return remarks;
}

}  // namespace

std::vector<std::string> manifest_hints(const Manifest& manifest, const Catalogue& catalogue) {
  return remarks(manifest, catalogue, false);
}

std::vector<std::string> manifest_notes(const Manifest& manifest, const Catalogue& catalogue) {
  return remarks(manifest, catalogue, true);
}

}  // namespace sharkcage
