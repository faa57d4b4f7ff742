#include "cli/missing_program.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "common/text.h"

namespace sharkcage::cli {
namespace {

namespace fs = std::filesystem;

bool is_program(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) && ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

std::string find_program(const std::string& program) {
  std::error_code error;
  if (program.find('/') != std::string::npos) {
    const fs::path path = fs::absolute(program, error).lexically_normal();
    return !error && is_program(path) ? path.string() : std::string();
  }
  const char* const variable = std::getenv("PATH");
  const std::string_view path = variable == nullptr ? "" : variable;
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find(':', start), path.size());
    const fs::path found = fs::path(path.substr(start, end - start)) / program;
    if (found.is_absolute() && is_program(found)) return found.string();
    start = end + 1;
  }
  return {};
}

std::string explain_missing_program(const std::string& program, const std::string& skill,
                                    const std::string& directory) {
  const std::string found = find_program(program);
  if (found.empty()) {
    const fs::path own = fs::path(directory) / program;
    if (directory.empty() || !is_program(own)) return {};
    return "A command begins in the workspace. What " + printable(skill) +
           " has is: " + printable(own.lexically_normal().string());
  }
  const bool of_the_system =
      found.starts_with("/usr/") || found.starts_with("/bin/") || found.starts_with("/sbin/");
  if (of_the_system && !skill.empty()) {
    return printable(found) + " is not approved for " + printable(skill) +
           ". What is approved: sc skill show " + printable(skill);
  }
  return printable(found) +
         " is on this machine, and the sandbox does not show it: programs come from /usr, the "
         "workspace and what a skill was approved for (in its manifest: system.exec with this "
         "path).";
}

}  // namespace sharkcage::cli
