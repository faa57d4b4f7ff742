// Refused accesses of an outcome (payload member "refused") in words.
#pragma once

#include <string>

#include "common/json.h"

namespace sharkcage::cli {

// "tried to read ~/.aws/credentials", "used a refused system call: ptrace", "hit the memory limit".
// `home` is written as "~"; empty: none is. An entry of another shape is told as well as it can
// be. Raw: not yet made printable.
std::string refusal_text(const Json& refusal, const std::string& home);

// The same with who, how often and, if that is not empty, when: "tried to read ~/.aws/credentials
// (cat, 3 times, after its command returned)".
std::string refusal_sentence(const Json& refusal, const std::string& home,
                             const std::string& when = {});

// The first of an outcome's refusals, in short: "read ~/.aws/credentials, run /usr/bin/curl and 4
// more". Empty where there is none.
std::string refusals_in_short(const Json& payload, const std::string& home);

// "refused" of a payload; an empty array where it has none.
const Json& refusals_of(const Json& payload);

}  // namespace sharkcage::cli
