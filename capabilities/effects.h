// What granted capabilities open, resolved against the machine once, when a person approves: real
// paths, real programs, host rules, variable names. Stored with the approval.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "capabilities/catalogue.h"
#include "capabilities/manifest.h"
#include "capabilities/policy.h"
#include "capabilities/protected.h"

namespace sharkcage {

struct Effects {
  std::vector<FileGrant> files;
  ExecRule exec;
  std::vector<HostRule> hosts;
  std::vector<std::string> environment;

  Json to_json() const;
  bool operator==(const Effects&) const = default;
};
Effects effects_from_json(const Json& value);

struct Ground {
  std::string home;                       // of the person whose paths `~/` means
  std::vector<ProtectedPath> protected_;  // as of now
  // Where program names are looked up.
  std::vector<std::string> search = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                     "/usr/bin",        "/sbin",          "/bin"};
};

// The real path of an executable file, or nothing.
std::optional<std::string> executable_at(const std::string& path);

// The same of a name on the search path, or of an absolute path. Throws UserError naming `place`.
std::string find_program(const std::string& word, const std::string& place, const Ground& ground,
                         const std::string& remedy);

// Resolves every grant. Throws UserError naming capability and scope: a path that does not exist or
// opens a protected one (both are named), a program that is not on the search path.
Effects resolve(const std::vector<CapabilityRequest>& granted, const Catalogue& catalogue,
                const Ground& ground);

// What no approval can grant here, whatever there is or will be: a sentence for each word of a
// scope that opens a protected path, with its field ("capabilities[0].scope[1]").
std::vector<std::string> never_granted(const std::vector<CapabilityRequest>& asked,
                                       const Catalogue& catalogue, const Ground& ground);

// A sentence for each program that is asked for and is not on this machine now.
std::vector<std::string> missing_programs(const std::vector<CapabilityRequest>& asked,
                                          const Catalogue& catalogue, const Ground& ground);

}  // namespace sharkcage
