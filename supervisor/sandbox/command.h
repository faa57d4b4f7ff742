// A command: what the supervisor wants to run in a sandbox.
#pragma once

#include <string>
#include <vector>

namespace sharkcage::sandbox {

struct Terminal {
  bool enabled = false;
  unsigned rows = 24;
  unsigned columns = 80;
  bool background = false;  // whoever has it in the foreground is not this command's client
};

struct Command {
  std::vector<std::string> argv;
  std::vector<std::string> environment;  // NAME=value, complete
  std::string workdir;
  Terminal terminal;

  // What is executed: the first of these that there is. Relative ones are so to `workdir`.
  std::vector<std::string> candidates() const;
  // The form that the sandbox executes it from (command_image.h). Throws UserError for one that no
  // kernel can execute: without a program's name, with a NUL byte.
  std::string encode() const;
};

}  // namespace sharkcage::sandbox
