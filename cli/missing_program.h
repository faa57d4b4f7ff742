// A program that a person has and the sandbox does not show.
#pragma once

#include <string>

namespace sharkcage::cli {

// Where this process would find `program`, looked for as a shell does; empty if nowhere. It looks
// with the person's eyes, outside: nothing of the answer may reach the sandbox.
std::string find_program(const std::string& program);

// For a person: where it is, why the sandbox has none, what to do. Empty when it is nowhere here
// either. `skill`: whose approval counted, or empty, and `directory` where that one is, if known.
std::string explain_missing_program(const std::string& program, const std::string& skill,
                                    const std::string& directory);

}  // namespace sharkcage::cli
