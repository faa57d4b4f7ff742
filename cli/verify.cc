// sc verify: checks a skill's manifest and files. Needs no supervisor.
#include <unistd.h>

#include <filesystem>

#include "capabilities/content.h"
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
                  "Write a sharkcage.json beside SKILL.md; examples/skills/ has two.");
}

// The catalogue with the capabilities that this machine's configuration adds. Whoever may not read
// the configuration gets the built-in one.
Catalogue catalogue() {
  const std::string path = find_places().config_file();
  if (::access(path.c_str(), R_OK) != 0) return Catalogue();
  return Catalogue(load_config(path).capabilities);
}

int verify(const Invocation& invocation, const std::string& directory, bool strict) {
  std::error_code error;
  if (!std::filesystem::is_directory(directory, error)) {
    throw UserError("Cannot open " + printable(directory) + " (" +
                    (error ? error.message() : "not a directory") + ")");
  }
  const Catalogue known = catalogue();
  const std::string path = manifest_path(directory);
  const Manifest manifest = parse_manifest(read_file(path, kMaxManifestBytes), path, known);
  const std::string content = content_digest(directory);
  std::vector<std::string> hints = manifest_hints(manifest, known);
  if (strict && !std::filesystem::exists(directory + "/SKILL.md")) {
    hints.push_back("there is no SKILL.md");
  }
  const bool passed = !strict || hints.empty();

  Json capabilities = Json::array();
  for (const CapabilityRequest& request : manifest.capabilities) {
    capabilities.push_back(to_json(request, known));
    capabilities.back()["label"] = describe(request, known);
  }
  if (invocation.json) {
    print_json({{"ok", passed},
                {"name", manifest.name},
                {"version", manifest.version},
                {"manifest_digest", manifest.digest},
                {"content_digest", content},
                {"capabilities", capabilities},
                {"hints", hints}});
    return passed ? kDone : kFailed;
  }
  const bool colours = colours_on(STDOUT_FILENO);
  std::string text = skill_heading({{"name", manifest.name},
                                    {"version", manifest.version},
                                    {"description", manifest.description}},
                                   colours);
  text += capabilities.empty() ? "  It asks for nothing beyond the workspace.\n"
                               : capability_table(capabilities, false, colours, 2);
  for (const std::string& hint : hints) {
    text += Cell(strict ? "Problem: " : "Note: ", strict ? Colour::kRed : Colour::kYellow)
                .painted(colours) +
            printable(hint) + '\n';
  }
  text += passed ? Cell("The manifest is valid.", Colour::kGreen).painted(colours)
                 : Cell("The manifest is valid, but not good enough for --strict.", Colour::kRed)
                       .painted(colours);
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
