// sc verify: checks a skill's manifest and files. Needs no supervisor.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "capabilities/content.h"
#include "capabilities/effects.h"
#include "capabilities/manifest.h"
#include "capabilities/prompt.h"
#include "cli/commands.h"
#include "cli/skill_view.h"
#include "common/config.h"
#include "common/errors.h"
#include "common/fd.h"
#include "common/places.h"
#include "common/text.h"

namespace sharkcage::cli {
namespace {

std::string manifest_path(const std::string& directory) {
  for (const std::string_view name : kManifestFiles) {
    const std::string path = directory + '/' + std::string(name);
    if (std::filesystem::exists(path)) return path;
  }
  throw UserError(printable(directory) + " has no manifest",
                  "Write a sharkcage.json beside SKILL.md; docs/capabilities.md shows how, "
                  "examples/skills/ has two.");
}

// This machine's, which adds capabilities and protected paths. Whoever may not read it gets the
// built-in one.
Config configuration() {
  const std::string path = find_places().config_file();
  return ::access(path.c_str(), R_OK) == 0 ? load_config(path) : Config();
}

// As the supervisor would have it for this person.
Ground ground_of(const Config& config) {
  const char* home = std::getenv("HOME");
  Ground ground;
  ground.home = home != nullptr && home[0] == '/' ? home : home_of(::geteuid());
  ground.protected_ =
      protected_paths({ground.home, ::geteuid() == 0, find_places(), config.protected_paths, {}});
  return ground;
}

Json capabilities_json(const Manifest& manifest, const Catalogue& known) {
  Json capabilities = Json::array();
  for (const CapabilityRequest& request : manifest.capabilities) {
    capabilities.push_back(to_json(request, known));
    capabilities.back()["label"] = describe(request, known);
  }
  return capabilities;
}

// What stands below the table of capabilities.
std::string verdict_in_words(const std::vector<std::string>& errors,
                             const std::vector<std::string>& hints, bool strict, bool colours) {
  std::string text;
  const auto add = [&](const std::string& word, Colour colour, const std::string& sentence) {
    text += Cell(word, colour).painted(colours) + printable(sentence) + '\n';
  };
  for (const std::string& error : errors) add("Error: ", Colour::kRed, error);
  for (const std::string& hint : hints) {
    strict ? add("Problem: ", Colour::kRed, hint) : add("Note: ", Colour::kYellow, hint);
  }
  if (!errors.empty()) {
    return text +
           Cell("The manifest asks for what can never be approved.", Colour::kRed).painted(colours);
  }
  if (strict && !hints.empty()) {
    return text + Cell("The manifest is valid, but not good enough for --strict.", Colour::kRed)
                      .painted(colours);
  }
  return text + Cell("The manifest is valid.", Colour::kGreen).painted(colours);
}

int verify(const Invocation& invocation, const std::string& directory, bool strict) {
  std::error_code error;
  if (!std::filesystem::is_directory(directory, error)) {
    throw UserError("Cannot open " + printable(directory) + " (" +
                    (error ? error.message() : "not a directory") + ")");
  }
  const Config config = configuration();
  const Catalogue known(config.capabilities);
  const std::string path = manifest_path(directory);
  const Manifest manifest = parse_manifest(read_file(path, kMaxManifestBytes), path, known);
  const std::string content = content_digest(directory);
  std::vector<std::string> hints = manifest_hints(manifest, known);
  if (strict && !std::filesystem::exists(directory + "/SKILL.md")) {
    hints.push_back("there is no SKILL.md");
  }
  const Ground ground = ground_of(config);
  const std::vector<std::string> errors = never_granted(manifest.capabilities, known, ground);
  std::vector<std::string> notes = manifest_notes(manifest, known);
  for (std::string& note : missing_programs(manifest.capabilities, known, ground)) {
    notes.push_back(std::move(note));
  }
  const bool passed = errors.empty() && (!strict || hints.empty());
  const Json capabilities = capabilities_json(manifest, known);
  if (invocation.json) {
    print_json({{"ok", passed},
                {"name", manifest.name},
                {"version", manifest.version},
                {"manifest_digest", manifest.digest},
                {"content_digest", content},
                {"capabilities", capabilities},
                {"errors", errors},
                {"hints", hints},
                {"notes", notes}});
    return passed ? kDone : kFailed;
  }
  const bool colours = colours_on(STDOUT_FILENO);
  std::string text = skill_heading({{"name", manifest.name},
                                    {"version", manifest.version},
                                    {"description", manifest.description}},
                                   colours);
  text += capabilities.empty() ? "  It asks for nothing beyond the workspace.\n"
                               : capability_table(capabilities, false, colours, 2);
  text += never_line(manifest.json);
  for (const std::string& note : notes) text += "Note: " + printable(note) + '\n';
  text += verdict_in_words(errors, hints, strict, colours);
  print(text + " Content " + short_digest(content) + ".\n");
  return passed ? kDone : kFailed;
}

}  // namespace

void add_verify(CLI::App& app, Invocation& invocation) {
  CLI::App* command = add_command(
      app, invocation, "verify", "Check the manifest and the files of a skill; needs no supervisor",
      "sc verify ./weather --strict");
  auto directory = std::make_shared<std::string>();
  command->add_option("DIR", *directory, "The skill's directory")->type_name("")->required();
  auto strict = std::make_shared<bool>(false);
  command->add_flag("--strict", *strict, "Remarks count as failures");
  command->callback([&invocation, directory, strict] {
    invocation.action = [&invocation, directory, strict] {
      return verify(invocation, *directory, *strict);
    };
  });
}

}  // namespace sharkcage::cli
