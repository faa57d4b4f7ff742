#include "supervisor/sandbox/steps.h"

#include <sys/mount.h>

#include <algorithm>

namespace sharkcage::sandbox {
namespace {

std::string relative(const std::string& path) {
  return path.substr(std::min(path.find_first_not_of('/'), path.size()));
}

Step step_of(Step::Kind kind, const std::string& target) {
  Step step;
  step.kind = kind;
  step.target = relative(target);
  step.policy = true;
  return step;
}

}  // namespace

const std::uint64_t kReadOnlyMount = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

Step directory_step(const std::string& target) {
  return step_of(Step::Kind::kDirectory, target);
}

Step bind_step(const std::string& source, const std::string& target, std::uint64_t attributes,
               bool directory) {
  Step step = step_of(Step::Kind::kBind, target);
  step.source = source;
  step.attributes = attributes;
  step.directory = directory;
  return step;
}

Step tmpfs_step(const std::string& target, mode_t mode, std::uint64_t size,
                std::uint64_t attributes) {
  Step step = step_of(Step::Kind::kTmpfs, target);
  step.mode = mode;
  step.size = size;
  step.attributes = attributes;
  return step;
}

Step mask_step(const std::string& target) {
  return step_of(Step::Kind::kMask, target);
}

Step pin_step(const std::string& target) {
  return step_of(Step::Kind::kPin, target);
}

Step keep_step(const std::string& target) {
  return step_of(Step::Kind::kKeep, target);
}

Step link_step(const std::string& target, const std::string& text) {
  Step step = step_of(Step::Kind::kLink, target);
  step.source = text;
  return step;
}

}  // namespace sharkcage::sandbox
