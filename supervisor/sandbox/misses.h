// What it means that a task was told "there is none", or "you may not".
#pragma once

#include <optional>
#include <string_view>

#include "supervisor/sandbox/facade_tree.h"
#include "supervisor/sandbox/facade_witness.h"
#include "supervisor/sandbox/refusals.h"

namespace sharkcage::sandbox {

// `name` is not in `directory`. Nothing when that refuses nothing: a name that is about to be made
// in the home. `scoped`: the policy names programs; what is missing in a directory of programs was
// then wanted for execution.
std::optional<Refusal> missed(const Tree& tree, bool scoped, const Node& directory,
                              std::string_view name, const Evidence& evidence);

// Permission for `mask` was denied.
std::optional<Refusal> denied(const Tree& tree, const Node& mask, const Evidence& evidence);

}  // namespace sharkcage::sandbox
