// Policies of calls: derived from what a person approved, the session and the protected paths as
// they are at this moment; made again only when one of these has changed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "capabilities/derive.h"
#include "capabilities/protection_watch.h"
#include "common/config.h"
#include "common/places.h"
#include "supervisor/sessions.h"

namespace sharkcage {

// A policy with its digest, which costs more than the policy itself.
struct DerivedPolicy {
  Policy policy;
  std::string digest;
  std::string no_network;  // why it has none, where the configuration took what was approved
};

// For whom a policy is made.
struct PolicySubject {
  std::string skill;  // "agent" for the baseline
  std::string content_digest;
  std::optional<Effects> effects;       // what was approved; nothing for the baseline
  Json limits;                          // of its manifest, or null
  std::vector<std::string> paths;       // where the session shows its content
  std::vector<std::string> deny_hosts;  // of its manifest
  std::string tool;                     // that is called
};

// One thread.
class Policies {
 public:
  Policies(const Config& config, const Places& places) : config_(config), places_(places) {}

  // Throws UserError when there is no policy that holds what it promises (see `derive`).
  DerivedPolicy derive_for(const PolicySubject& subject, const Session& session,
                           std::optional<std::chrono::milliseconds> timeout);

  // The same, remembered. `generation` is the registry's, in which the subject is what its standing
  // approval says: a decision for one call must not be asked for here.
  std::shared_ptr<const DerivedPolicy> standing(const PolicySubject& subject,
                                                const Session& session,
                                                std::optional<std::chrono::milliseconds> timeout,
                                                std::uint64_t generation);

  // The ground on which `owner`'s approvals are resolved.
  Ground ground_of(uid_t owner);
  std::string home_of_owner(uid_t owner) const;

 private:
  // Everything that a policy depends on and that may change while the supervisor runs.
  struct Key {
    uid_t owner = 0;
    std::uint64_t generation = 0;
    std::uint64_t protection = 0;  // the version of the list of protected paths
    std::uint64_t account_protection = 0;
    Access access = Access::kReadOnly;
    bool network = false;  // the tool gets it
    std::int64_t timeout_ms = -1;
    std::string workspace;
    std::string skill;
    std::string content_digest;
    std::vector<std::string> paths;
    std::vector<std::pair<std::string, std::string>> mounts;
    auto operator<=>(const Key&) const = default;
  };
  static constexpr std::size_t kMaxRemembered = 256;

  struct Protection {
    const std::vector<ProtectedPath>* own = nullptr;
    const std::vector<ProtectedPath>* account = nullptr;  // where HOME is not the account's home
  };
  // What the configuration says of the subject's network.
  NetworkInput network_of(const PolicySubject& subject) const;
  Protection protection_of(uid_t owner);
  Ground ground_of(uid_t owner, const Protection& protection) const;
  DerivedPolicy derive_on(Ground ground, const PolicySubject& subject, const Session& session,
                          std::optional<std::chrono::milliseconds> timeout) const;

  const Config& config_;
  const Places& places_;
  std::map<uid_t, ProtectionWatch> protected_;
  std::map<uid_t, std::string> account_homes_;
  std::map<uid_t, ProtectionWatch> account_protected_;
  std::map<Key, std::shared_ptr<const DerivedPolicy>> remembered_;
};

}  // namespace sharkcage
