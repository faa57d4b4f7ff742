// Makers of the steps of a plan.
#pragma once

#include <string>

#include "supervisor/sandbox/plan.h"

namespace sharkcage::sandbox {

// MOUNT_ATTR_RDONLY | NOSUID | NODEV, what every read-only part of the system has.
extern const std::uint64_t kReadOnlyMount;

// Targets are absolute paths inside. These steps make the parents of their targets.
Step directory_step(const std::string& target);
Step bind_step(const std::string& source, const std::string& target, std::uint64_t attributes,
               bool directory);
Step tmpfs_step(const std::string& target, mode_t mode, std::uint64_t size,
                std::uint64_t attributes);
Step mask_step(const std::string& target);
Step pin_step(const std::string& target);
// What exists at `target` at the start stays as it is. What does not is no error, and neither is a
// link: it is not followed. Whoever plans it pins the directories between the grant and it.
Step keep_step(const std::string& target);
Step link_step(const std::string& target, const std::string& text);

}  // namespace sharkcage::sandbox
