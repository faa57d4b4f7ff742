// Environment variables that make a program load or run code: never taken over from the host, never
// granted to a skill.
#pragma once

#include <string_view>

namespace sharkcage {

// [A-Za-z_][A-Za-z0-9_]*, at most 128 bytes.
bool is_variable_name(std::string_view name);

// Whether `name` steers the dynamic loader (ld.so(8)), an interpreter, the shell or a tool such as
// git into running something else, e.g. LD_PRELOAD, NODE_OPTIONS, PYTHONPATH, BASH_ENV,
// GIT_SSH_COMMAND.
bool is_code_variable(std::string_view name);

// Whether the sandbox itself sets `name`, so that nothing else may: PATH, HOME, the proxy variables
// …
bool is_reserved_variable(std::string_view name);

}  // namespace sharkcage
