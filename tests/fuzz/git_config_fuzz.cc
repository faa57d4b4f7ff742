// A git configuration: what is accepted reads the same after it was written down again, and holds
// no setting by which git runs a program.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "supervisor/sandbox/git_config.h"

namespace {

using sharkcage::sandbox::GitSetting;

void require(bool holds) {
  if (!holds) std::abort();
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\b') {
      out += "\\b";
    } else {
      out += c;
    }
  }
  return out;
}

// As git writes it: quoted.
std::string written(const GitSetting& setting) {
  std::string out = "[" + setting.section;
  if (!setting.subsection.empty()) {
    out += " \"";
    for (const char c : setting.subsection) {
      if (c == '\\' || c == '"') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out + "]\n\t" + setting.key + " = \"" + escaped(setting.value) + "\"\n";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto settings = sharkcage::sandbox::parse_git_config(text);
  if (!settings) return 0;
  const bool accepted = sharkcage::sandbox::refused_git_setting(text).empty();
  for (const GitSetting& setting : *settings) {
    const auto again = sharkcage::sandbox::parse_git_config(written(setting));
    require(again && again->size() == 1);
    require((*again)[0].section == setting.section && (*again)[0].key == setting.key);
    require((*again)[0].subsection == setting.subsection && (*again)[0].value == setting.value);
    if (!accepted) continue;
    require(setting.section != "include" && setting.section != "alias");
    require(setting.section != "filter" && setting.key != "fsmonitor");
    require(setting.key != "url" || setting.value.find("::") == std::string::npos);
  }
  return 0;
}
