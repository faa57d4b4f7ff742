#include "capabilities/derive.h"

#include <algorithm>
#include <tuple>

#include "capabilities/hosts.h"
#include "common/errors.h"
#include "common/text.h"

namespace sharkcage {
namespace {

template <typename T>
std::vector<T> sorted(std::vector<T> list) {
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  return list;
}

bool covers(Access have, Access wanted) {
  return have == Access::kReadWrite || wanted == Access::kReadOnly;
}

// Grants are checked when a person approves. Since then a link or the configuration may have made
// one of them open what is protected: then nothing runs until a person has looked at it.
void check_grants(const std::vector<FileGrant>& grants, const std::vector<ProtectedPath>& list,
                  const std::string& skill) {
  for (const FileGrant& grant : grants) {
    const ProtectedPath* entry = conflict_of(grant.path, grant.access, list);
    if (entry == nullptr) continue;
    throw UserError("The approval of " + skill + " grants " + printable(grant.path) +
                        ", which by now would open the protected path " + printable(entry->path),
                    "Run: sc revoke " + skill);
  }
}

// Grants by path, without those that the workspace or a wider grant gives already.
std::vector<FileGrant> file_grants(std::vector<FileGrant> grants, const Policy& policy) {
  std::sort(grants.begin(), grants.end(), [](const FileGrant& a, const FileGrant& b) {
    return std::tuple(a.path, b.access) < std::tuple(b.path, a.access);  // rw before ro
  });
  std::vector<FileGrant> kept;
  for (const FileGrant& grant : grants) {
    const bool in_workspace = !policy.workspace.empty() &&
                              is_within(grant.path, policy.workspace) &&
                              covers(policy.workspace_access, grant.access);
    const bool in_wider = std::any_of(kept.begin(), kept.end(), [&](const FileGrant& wider) {
      return is_within(grant.path, wider.path) && covers(wider.access, grant.access);
    });
    if (!in_workspace && !in_wider) kept.push_back(grant);
  }
  return kept;
}

// One rule a destination; where one says internal and another does not, internal is granted.
std::vector<HostRule> merged(std::vector<HostRule> rules) {
  std::sort(rules.begin(), rules.end(), [](const HostRule& a, const HostRule& b) {
    return std::tuple(a.host, a.port, b.internal) < std::tuple(b.host, b.port, a.internal);
  });
  const auto same = [](const HostRule& a, const HostRule& b) {
    return a.host == b.host && a.port == b.port;
  };
  rules.erase(std::unique(rules.begin(), rules.end(), same), rules.end());
  return rules;
}

std::vector<std::string> deny_patterns(const DeriveInput& input) {
  std::vector<std::string> patterns;
  const auto add = [&](const std::vector<std::string>& words, const std::string& field) {
    for (const std::string& word : words) patterns.push_back(parse_host(word, field).text());
  };
  const std::string& skill = input.subject.skill;
  add(input.deny_hosts, "configuration: deny_hosts");
  add(input.network.deny_hosts,
      "configuration: network.skills." + printable(skill) + ".deny_hosts");
  if (skill != kAgent) add(input.subject.deny_hosts, skill + ": deny_hosts");
  return sorted(std::move(patterns));
}

// Whether what is at this path in the sandbox is what is there outside, whatever a command does:
// the private home and /tmp are a command's own.
bool is_out_of_reach(const std::string& program, const Policy& policy) {
  const auto shown = [&](Access access) {
    return (!policy.workspace.empty() && policy.workspace_access == access &&
            is_within(program, policy.workspace)) ||
           std::any_of(policy.files.begin(), policy.files.end(), [&](const FileGrant& grant) {
             return grant.access == access && is_within(program, grant.path);
           });
  };
  if (shown(Access::kReadWrite)) return false;
  const auto& own = policy.exec.programs;
  const bool system = is_within(program, "/usr") && !is_within(program, policy.home);
  return system || shown(Access::kReadOnly) ||
         std::find(own.begin(), own.end(), program) != own.end();
}

void narrow_network(Policy& policy, const NetworkInput& network) {
  if (network.programs) {
    policy.network_rule.any = false;
    for (const std::string& program : sorted(*network.programs)) {
      if (is_out_of_reach(program, policy)) policy.network_rule.programs.push_back(program);
    }
    if (policy.network_rule.programs.empty()) policy.hosts.clear();
  }
  if (!network.granted) policy.hosts.clear();
  if (policy.hosts.empty()) policy.network_rule = {};
}

// What of the protected there is below the workspace or a grant.
std::vector<std::string> hidden_paths(const Policy& policy,
                                      const std::vector<ProtectedPath>& list) {
  std::vector<std::string> hidden;
  for (const ProtectedPath& entry : list) {
    if (!entry.exists) continue;
    const bool in_workspace = !policy.workspace.empty() &&
                              is_within(entry.real, policy.workspace) &&
                              !(entry.write_only && policy.workspace_access == Access::kReadOnly);
    const bool in_grant =
        !entry.write_only &&
        std::any_of(policy.files.begin(), policy.files.end(),
                    [&](const FileGrant& grant) { return is_within(entry.real, grant.path); });
    if (in_workspace || in_grant) hidden.push_back(entry.real);
  }
  return sorted(std::move(hidden));
}

void fill_agent(Policy& policy, const DeriveInput& input) {
  policy.skill = kAgent;
  policy.exec.any = true;
  policy.hosts = merged(service_rules(input.services));
  policy.limits = input.limits;
}

void fill_skill(Policy& policy, const DeriveInput& input) {
  const SubjectInput& subject = input.subject;
  policy.skill = subject.skill;
  check_grants(subject.effects.files, input.protected_, subject.skill);
  policy.files = file_grants(subject.effects.files, policy);
  policy.skills = {{subject.skill, subject.content_digest, sorted(subject.paths)}};
  policy.exec.any = subject.effects.exec.any;
  if (!policy.exec.any) policy.exec.programs = sorted(subject.effects.exec.programs);
  policy.hosts = merged(subject.effects.hosts);
  policy.environment = sorted(subject.effects.environment);
  policy.limits = input.limits;
  if (!subject.limits.is_null()) {
    policy.limits = limits_from_json(subject.limits, input.limits, subject.skill + ": limits")
                        .lowered_by(input.limits);
  }
}

}  // namespace

std::vector<HostRule> service_rules(const std::map<std::string, std::string>& services) {
  std::vector<HostRule> rules;
  for (const auto& [name, host] : services) {
    const HostPattern pattern = parse_host(host, "configuration: services." + printable(name));
    // An operator who names an internal host means it.
    for (HostRule& rule : host_rules(pattern, is_internal(pattern)))
      rules.push_back(std::move(rule));
  }
  return rules;
}

Policy derive(const DeriveInput& input) {
  Policy policy;
  const SessionInput& session = input.session;
  if (!session.workspace.empty()) {
    check_workspace(session.workspace, session.workspace_access, session.home, input.protected_);
  }
  policy.workspace = session.workspace;
  policy.workspace_access =
      session.workspace.empty() ? Access::kReadOnly : session.workspace_access;
  policy.home = session.home;
  if (input.subject.skill == kAgent) {
    fill_agent(policy, input);
  } else {
    fill_skill(policy, input);
  }
  policy.deny_hosts = deny_patterns(input);
  narrow_network(policy, input.network);
  policy.hidden = hidden_paths(policy, input.protected_);
  return policy;
}

}  // namespace sharkcage
