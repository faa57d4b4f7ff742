// The policy: what the kernel and the egress enforce for one call. Derived once, then immutable.
//
// It is plain data with one canonical form, so that the same input gives the same bytes and the
// same digest, and so that the small static launcher can read it without the rest of
// `capabilities`.
#pragma once

#include <string>
#include <vector>

#include "common/config.h"
#include "common/json.h"

namespace sharkcage {

enum class Access { kReadOnly, kReadWrite };

// A directory or a file that a sandbox shows, at the same path inside and outside unless the host
// shows it elsewhere.
struct FileGrant {
  std::string path;  // absolute, normal form, no symbolic link in it
  Access access = Access::kReadOnly;
  std::string source = {};  // where it is outside, if that is not `path`
  bool operator==(const FileGrant&) const = default;
};

// The approved content of a skill, shown read-only at a path (and at the copies a host made of it).
struct SkillMount {
  std::string skill;
  std::string digest;              // names the folder in the content store
  std::vector<std::string> paths;  // where it appears inside
  bool operator==(const SkillMount&) const = default;
};

// Which programs may be executed. `any`: whatever the sandbox shows. Otherwise exactly the resolved
// `programs`, the shell, and files of the policy's own skill; nothing else is executable or
// readable, and writable mounts are noexec.
struct ExecRule {
  bool any = false;
  std::vector<std::string> programs;  // absolute real paths of files, sorted
  bool operator==(const ExecRule&) const = default;
};

// A destination: a host pattern with a port. Patterns: "name", "*.name", IPv4, IPv6, CIDR.
struct HostRule {
  std::string host;       // lower case, no trailing dot, IDN in its ASCII form
  unsigned port = 0;      // 1 … 65535
  bool internal = false;  // addresses that are loopback, private or link-local are allowed as well
  bool operator==(const HostRule&) const = default;
};

// Which programs may connect to anything outside. `any`: all; else the processes that execute one
// of these files.
struct NetworkRule {
  bool any = true;
  std::vector<std::string> programs;  // absolute real paths that no command can write, sorted
  bool operator==(const NetworkRule&) const = default;
};

struct Policy {
  std::string skill;      // "agent" for the baseline
  std::string workspace;  // empty: none
  Access workspace_access = Access::kReadWrite;
  std::string home;                // where the private home appears
  std::vector<FileGrant> files;    // beside the workspace; sorted by path
  std::vector<SkillMount> skills;  // sorted by skill
  ExecRule exec;
  std::vector<HostRule> hosts;          // empty: no network at all; sorted
  std::vector<std::string> deny_hosts;  // patterns that win over `hosts`
  NetworkRule network_rule;
  std::vector<std::string> environment;  // names of approved variables, sorted
  std::vector<std::string> hidden;       // protected paths that nothing above may reveal, sorted
  Limits limits;

  bool network() const { return !hosts.empty(); }
  Json to_json() const;
  // SHA-256 of the canonical form.
  std::string digest() const;
};

// The inverse of `Policy::to_json`. Throws UserError for anything it does not know.
Policy policy_from_json(const Json& value);

}  // namespace sharkcage
