// What the deputy of a sandbox knows of its policy.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "supervisor/sandbox/names.h"
#include "supervisor/sandbox/plan.h"
#include "supervisor/sandbox/spec.h"

namespace sharkcage::sandbox {

struct DeputyRules {
  DeputyRules(const Spec& spec, const Plan& plan);

  ProtectedNames names;
  std::vector<std::string> writable;   // at and below these a command may write
  std::vector<std::string> read_only;  // but not there: grants, skills
  std::vector<std::string> shown;      // what is not there is not there outside either
  std::string home;                    // private
  std::vector<std::string> hidden;     // masked paths inside a grant
  std::set<dev_t> shared_devices;      // what is granted is on these, or on mounts below
  std::vector<std::string> sockets;    // Unix sockets of the host that were granted
  bool second_layer = true;            // writing is checked by path, beside the mounts
  bool judge_names = true;
  bool judge_sockets = true;

  bool may_write(std::string_view path) const;
  bool is_shown(std::string_view path) const;
  bool is_hidden(std::string_view path) const;
};

// `path` is `directory` or below it.
bool is_at_or_below(std::string_view path, std::string_view directory);

}  // namespace sharkcage::sandbox
