// From what was approved to what is enforced. A pure function: same input, same policy, same
// digest.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "capabilities/effects.h"
#include "capabilities/policy.h"
#include "capabilities/protected.h"
#include "common/config.h"

namespace sharkcage {

// The skill whose call it is, or the baseline.
struct SubjectInput {
  std::string skill = std::string(kAgent);
  std::string content_digest;           // empty for the baseline
  std::vector<std::string> paths;       // where its content appears; none for the baseline
  Effects effects;                      // of its approval; ignored for the baseline
  Json limits;                          // of its manifest, or null
  std::vector<std::string> deny_hosts;  // of its manifest
};

// What the configuration says of the network of this subject and this tool.
struct NetworkInput {
  bool granted = true;                               // to the tool
  std::optional<std::vector<std::string>> programs;  // absolute real paths; nothing: all
  std::vector<std::string> deny_hosts;
};

struct SessionInput {
  std::string workspace;  // absolute, no links in it; empty: none
  Access workspace_access = Access::kReadWrite;
  std::string home;
};

struct DeriveInput {
  SubjectInput subject;
  SessionInput session;
  std::map<std::string, std::string> services;  // Config::services: the baseline's destinations
  std::vector<std::string> deny_hosts;          // Config::deny_hosts
  NetworkInput network;
  Limits limits;                          // Config::limits
  std::vector<ProtectedPath> protected_;  // as of now
};

// The rules for Config::services, by which the baseline reaches them.
std::vector<HostRule> service_rules(const std::map<std::string, std::string>& services);

// Throws UserError when the input can give no policy that holds what it promises: a workspace or a
// grant that has come to open a protected path, a malformed pattern in the configuration.
Policy derive(const DeriveInput& input);

}  // namespace sharkcage
