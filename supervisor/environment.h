// The environment of a command: a fixed base, what the host gives, approved variables, the proxy.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "capabilities/policy.h"

namespace sharkcage {

struct CommandEnvironment {
  std::vector<std::string> variables;  // NAME=value, sorted by name
  std::vector<std::string> dropped;    // names that the host gave and the command does not get
};

struct EnvironmentInput {
  std::map<std::string, std::string> host;      // what the host gives
  std::map<std::string, std::string> approved;  // values of the policy's approved variables
  std::string user;                             // login name inside
  std::string token;                            // of the egress; empty: no network
  std::string workdir;                          // PWD, as a shell would set it
};

// Later wins: base, host, approved, proxy. Of the host's variables those that make a loader or an
// interpreter run other code, and those that the sandbox sets itself, are dropped.
CommandEnvironment build_environment(const EnvironmentInput& input, const Policy& policy);

// What a command line client may hand through without an approval: TERM, COLORTERM, LANG, LC_*, TZ.
bool describes_terminal(std::string_view name);

}  // namespace sharkcage
