// The files that run code later which exist at the top of a writable grant: they are made read-only
// by mounts, and a sandbox that was made before one of them came there has no mount over it.
#pragma once

#include <string>
#include <vector>

namespace sharkcage::sandbox {

// Relative to `top`, sorted. Of a directory that cannot be read, those that can be found by name.
std::vector<std::string> kept_at_top(const std::string& top);

}  // namespace sharkcage::sandbox
