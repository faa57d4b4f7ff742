#include "supervisor/sandbox/deputy_rules.h"

#include <algorithm>

#include "supervisor/sandbox/weakened.h"

namespace sharkcage::sandbox {
namespace {

std::vector<std::string> writable_grants(const Spec& spec) {
  std::vector<std::string> grants;
  for (const JudgedPath& path : spec.paths) {
    if (path.access == Access::kReadWrite) grants.push_back(path.target);
  }
  return grants;
}

// The length of the deepest of `directories` that `path` is at or below; 0: of none.
std::size_t depth_in(const std::vector<std::string>& directories, std::string_view path) {
  std::size_t depth = 0;
  for (const std::string& directory : directories) {
    if (is_at_or_below(path, directory)) depth = std::max(depth, directory.size());
  }
  return depth;
}

bool any_holds(const std::vector<std::string>& directories, std::string_view path) {
  return std::any_of(directories.begin(), directories.end(),
                     [&](const std::string& directory) { return is_at_or_below(path, directory); });
}

}  // namespace

bool is_at_or_below(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) &&
         (path.size() == directory.size() || directory == "/" || path[directory.size()] == '/');
}

DeputyRules::DeputyRules(const Spec& spec, const Plan& plan)
    : names(writable_grants(spec)),
      writable(writable_grants(spec)),
      shown{"/usr", "/tmp", "/dev", "/proc"},
      home(spec.policy.home),
      hidden(spec.policy.hidden),
      second_layer(plan.landlock_handled != 0),
      judge_names(!weakened::leaves_out(weakened::Layer::kNames)),
      judge_sockets(!weakened::leaves_out(weakened::Layer::kSockets)) {
  for (const char* own : {"/tmp", "/var/tmp", "/dev"}) writable.emplace_back(own);
  if (!spec.policy.home.empty()) writable.push_back(spec.policy.home);
  for (const JudgedPath& path : spec.paths) {
    shown.push_back(path.target);
    shared_devices.insert(path.device);
    if (path.access == Access::kReadOnly) read_only.push_back(path.target);
    if (path.socket) sockets.push_back(path.target);
  }
}

bool DeputyRules::may_write(std::string_view path) const {
  // A descriptor's file that has no name: a pipe, a memfd.
  if (!path.starts_with('/') || path.starts_with("/memfd:")) return true;
  return depth_in(writable, path) > depth_in(read_only, path);
}

bool DeputyRules::is_shown(std::string_view path) const {
  const std::size_t depth = depth_in(shown, path);
  // The private home can lie in what is shown.
  return depth > 0 && (home.empty() || depth > home.size() || !is_at_or_below(path, home));
}

bool DeputyRules::is_hidden(std::string_view path) const {
  return any_holds(hidden, path);
}

}  // namespace sharkcage::sandbox
