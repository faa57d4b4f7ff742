// The host's sessions for which it made a sandbox, and what each run read last.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "capabilities/policy.h"
#include "capabilities/skill_places.h"

namespace sharkcage {

// Where a session sees skills.
struct SkillView {
  const SkillPlaces* sources = nullptr;  // the directories of all registered skills
  SkillPlaces copies;                    // the host's copies of registered skills
  SkillPlaces unregistered;              // what the host has and nobody registered here
};

// A directory of the host that its sandboxes show, read-only, at another path.
struct HostMount {
  std::string source;  // outside
  std::string path;    // inside
};

struct Session {
  std::string key;
  std::string agent;
  std::string scope;
  uid_t owner = 0;        // the peer that opened it; no other peer may use it
  std::string workspace;  // empty: none
  Access access = Access::kReadWrite;
  std::vector<SkillPlace> skills;  // where the host keeps them or its copies, under its own names
  std::vector<HostMount> read_only;
  // The authorizer's, made from `skills` when the registry had this generation.
  // For Call::scope: sessions of one scope of the host share sandboxes.
  std::string warm_scope() const { return "host " + (scope.empty() ? key : scope); }

  mutable std::shared_ptr<const SkillView> view;
  mutable std::uint64_t view_generation = 0;
};

// Bounded: the oldest session or run is forgotten when there are too many, which blocks its next
// call or attributes it to the baseline, never more. One thread.
class Sessions {
 public:
  static constexpr std::size_t kMaxSessions = 4096;
  static constexpr std::size_t kMaxRuns = 4096;

  // Replaces what was known of the session. Throws UserError when another user's session has the
  // key.
  const Session& open(Session session);
  void close(uid_t owner, const std::string& key);
  // Null when the session is unknown or belongs to another user.
  const Session* find(uid_t owner, const std::string& key) const;
  std::size_t size() const { return sessions_.size(); }
  // Whether a session of `owner` has this `Session::warm_scope`.
  bool uses(uid_t owner, const std::string& warm_scope) const;

  // The skill whose SKILL.md `run` of `session` read last; empty where it read none.
  void note_read(const std::string& session, const std::string& run, const std::string& skill);
  std::string last_read(const std::string& session, const std::string& run) const;

 private:
  using Run = std::pair<std::string, std::string>;
  std::map<std::string, Session> sessions_;
  std::list<std::string> order_;
  std::map<Run, std::string> runs_;
  std::list<Run> run_order_;
};

}  // namespace sharkcage
