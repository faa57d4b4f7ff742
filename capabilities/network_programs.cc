#include "capabilities/network_programs.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "capabilities/effects.h"
#include "capabilities/scope.h"
#include "common/errors.h"
#include "common/fd.h"
#include "common/text.h"

namespace sharkcage {
namespace {

// `git --exec-path` of Debian and of others. Over ssh it is ssh that connects.
constexpr const char* kOfGit[] = {"/usr/lib/git-core/git-remote-http",
                                  "/usr/libexec/git-core/git-remote-http"};

// What stands after "#!", or nothing.
std::string interpreter_of(const std::string& program) {
  const UniqueFd file(::open(program.c_str(), O_RDONLY | O_CLOEXEC));
  char head[256];
  const ssize_t size = file ? ::pread(file.get(), head, sizeof head, 0) : 0;
  if (size < 2 || head[0] != '#' || head[1] != '!') return {};
  const std::string line(head + 2, static_cast<std::size_t>(size) - 2);
  return line.substr(0, line.find('\n'));
}

}  // namespace

std::vector<std::string> network_programs(const std::vector<std::string>& words,
                                          const std::string& field) {
  const Ground ground;
  std::vector<std::string> programs;
  for (const std::string& word : words) {
    if (word.find('/') != std::string::npos && !is_normal_path(word)) {
      throw UserError(
          field + ": \"" + printable(word) + "\" is neither a name nor an absolute path",
          "Write the path without \".\" and \"..\".");
    }
    const std::string program = find_program(word, field, ground, "Install it, or leave it out.");
    if (const std::string interpreter = interpreter_of(program); !interpreter.empty()) {
      throw UserError(field + ": \"" + printable(word) + "\" is a script, of which \"" +
                          printable(interpreter) + "\" is the program that connects",
                      "Name that program, if whatever it runs may use the network.");
    }
    programs.push_back(program);
    if (program.substr(program.rfind('/') + 1) != "git") continue;
    for (const char* helper : kOfGit) {
      if (const auto real = executable_at(helper)) programs.push_back(*real);
    }
  }
  std::sort(programs.begin(), programs.end());
  programs.erase(std::unique(programs.begin(), programs.end()), programs.end());
  return programs;
}

void resolve_network_programs(NetworkConfig& network, const std::string& field) {
  if (network.programs) {
    network.programs = network_programs(*network.programs, field + ".programs");
  }
  for (auto& [name, skill] : network.skills) {
    if (!skill.programs) continue;
    skill.programs =
        network_programs(*skill.programs, field + ".skills." + printable(name) + ".programs");
  }
}

}  // namespace sharkcage
