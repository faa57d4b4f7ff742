#include "supervisor/policies.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "common/errors.h"
#include "supervisor/attribution.h"

namespace sharkcage {
namespace {

// What a host shows beside the workspace lies where no program of the system looks for anything.
void check_host_mount(const HostMount& mount, const std::string& workspace,
                      const std::vector<ProtectedPath>& protected_list) {
  static constexpr std::array<std::string_view, 10> kSystem = {
      "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/proc", "/dev", "/sys", "/tmp"};
  const bool in_system = std::any_of(kSystem.begin(), kSystem.end(), [&](std::string_view folder) {
    return lies_in(mount.path, folder);
  });
  if (mount.path == "/" || (in_system && !lies_in(mount.path, workspace))) {
    throw UserError("The host cannot show anything at " + mount.path);
  }
  if (const auto* conflict = conflict_of(mount.source, Access::kReadOnly, protected_list)) {
    throw UserError("The host cannot show " + mount.source + ", since " + conflict->path +
                    " is protected");
  }
}

// What is not approved must not be said of what is.
std::string why_no_network(const DeriveInput& input, const Policy& policy) {
  const bool approved =
      policy.skill == kAgent ? !input.services.empty() : !input.subject.effects.hosts.empty();
  if (policy.network() || !approved) return {};
  if (!input.network.granted) return "the configuration gives this tool no network (network.tools)";
  return "the configuration gives no program of it the network (network.programs)";
}

}  // namespace

std::string Policies::home_of_owner(uid_t owner) const {
  const char* home = std::getenv("HOME");
  if (owner == ::geteuid() && home != nullptr && home[0] == '/') return home;
  return home_of(owner);
}

Policies::Protection Policies::protection_of(uid_t owner) {
  Protection protection;
  const std::string home = home_of_owner(owner);
  protection.own =
      &protected_[owner].paths({home, owner == 0, places_, config_.protected_paths, {}});
  // HOME may say another directory than the account has; what is in that one is no less private.
  const auto [known, unknown] = account_homes_.try_emplace(owner);
  if (unknown) known->second = home_of(owner);  // reads the user database
  const std::string& account = known->second;
  if (!account.empty() && account != home) {
    protection.account = &account_protected_[owner].paths({account, owner == 0, places_, {}, {}});
  }
  return protection;
}

Ground Policies::ground_of(uid_t owner) {
  return ground_of(owner, protection_of(owner));
}

Ground Policies::ground_of(uid_t owner, const Protection& protection) const {
  Ground ground;
  ground.home = home_of_owner(owner);
  ground.protected_ = *protection.own;
  if (protection.account != nullptr) {
    ground.protected_.insert(ground.protected_.end(), protection.account->begin(),
                             protection.account->end());
  }
  return ground;
}

DerivedPolicy Policies::derive_for(const PolicySubject& subject, const Session& session,
                                   std::optional<std::chrono::milliseconds> timeout) {
  return derive_on(ground_of(session.owner), subject, session, timeout);
}

DerivedPolicy Policies::derive_on(Ground ground, const PolicySubject& subject,
                                  const Session& session,
                                  std::optional<std::chrono::milliseconds> timeout) const {
  DeriveInput input;
  input.session.workspace = session.workspace;
  input.session.workspace_access = session.access;
  input.session.home = ground.home;
  input.services = config_.services;
  input.deny_hosts = config_.deny_hosts;
  input.network = network_of(subject);
  input.limits = config_.limits;
  if (timeout) input.limits.wall = std::min(input.limits.wall, *timeout);
  input.protected_ = std::move(ground.protected_);
  if (subject.effects) {
    input.subject.skill = subject.skill;
    input.subject.content_digest = subject.content_digest;
    input.subject.effects = *subject.effects;
    input.subject.paths = subject.paths;
    input.subject.limits = subject.limits;
    input.subject.deny_hosts = subject.deny_hosts;
  }
  DerivedPolicy derived{derive(input), {}, {}};
  derived.no_network = why_no_network(input, derived.policy);
  for (const auto& mount : session.read_only) {
    check_host_mount(mount, session.workspace, input.protected_);
    derived.policy.files.push_back({mount.path, Access::kReadOnly, mount.source});
  }
  derived.digest = derived.policy.digest();
  return derived;
}

NetworkInput Policies::network_of(const PolicySubject& subject) const {
  const std::string skill = subject.effects ? subject.skill : std::string(kAgent);
  const NetworkReach reach = config_.network.reach_of(skill);
  NetworkInput network;
  network.granted = reach.allows_tool(subject.tool);
  network.programs = reach.programs;
  network.deny_hosts = config_.network.denied_to(skill);
  return network;
}

std::shared_ptr<const DerivedPolicy> Policies::standing(
    const PolicySubject& subject, const Session& session,
    std::optional<std::chrono::milliseconds> timeout, std::uint64_t generation) {
  const Protection protection = protection_of(session.owner);
  Key key;
  key.owner = session.owner;
  key.generation = generation;
  key.protection = protected_[session.owner].version();
  if (protection.account != nullptr) {
    key.account_protection = account_protected_[session.owner].version();
  }
  key.access = session.access;
  key.network = config_.network.reach_of(subject.skill).allows_tool(subject.tool);
  if (timeout) key.timeout_ms = timeout->count();
  key.workspace = session.workspace;
  key.skill = subject.skill;
  key.content_digest = subject.content_digest;
  key.paths = subject.paths;
  for (const HostMount& mount : session.read_only)
    key.mounts.emplace_back(mount.source, mount.path);
  if (const auto known = remembered_.find(key); known != remembered_.end()) return known->second;

  auto derived = std::make_shared<const DerivedPolicy>(
      derive_on(ground_of(session.owner, protection), subject, session, timeout));
  if (remembered_.size() >= kMaxRemembered) remembered_.clear();
  remembered_.emplace(std::move(key), derived);
  return derived;
}

}  // namespace sharkcage
