// The registry: skills, what they ask for, and what a person approved (SQLite, var/approvals.db).
//
// Every change is one transaction that is durable when the function returns. What a call asks for
// is answered from memory, which only changes with the database: nothing else may write to that.
// One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "capabilities/catalogue.h"
#include "capabilities/content.h"
#include "capabilities/effects.h"
#include "capabilities/manifest.h"
#include "capabilities/skill_places.h"

namespace sharkcage {

struct Skill {
  std::string name;
  std::string source;  // the directory it was added from, absolute, no links in it
  Manifest manifest;
  std::string content_digest;  // of the copy in the store
  std::string added;           // RFC 3339
};

// What `add` found.
struct Added {
  Skill skill;
  bool created = false;
  bool source_changed = false;
  bool manifest_changed = false;
  bool content_changed = false;
  bool changed() const { return created || source_changed || content_changed; }
  // Capabilities (with their scope words) that are asked for now and not by the approval that there
  // is: "network.external: wttr.in:443".
  std::vector<std::string> not_approved;
};

struct Approval {
  std::string skill;
  std::string manifest_digest;
  std::string content_digest;
  std::vector<CapabilityRequest> granted;  // all of the manifest's, or a part
  Effects effects;
  std::string decided_by;
  std::string time;  // RFC 3339
};

enum class RequestState { kPending, kApproved, kDenied };
std::string_view name_of(RequestState state);

// A call that waited for a person.
struct Request {
  std::string id;
  std::string skill;
  std::string session;
  std::string tool;
  std::vector<CapabilityRequest> asked;
  std::string manifest_digest;
  std::string content_digest;
  std::string created;  // RFC 3339
  RequestState state = RequestState::kPending;
  std::uint32_t raised_by = 0;  // the peer's uid
};

// Whether a skill may run.
struct Standing {
  // kChanged: the content is not what was approved. kMissing: the source directory is gone.
  enum class Kind { kUnknown, kUnapproved, kChanged, kRevoked, kMissing, kApproved };
  Kind kind = Kind::kUnknown;
  std::optional<Approval> approval;  // kApproved, and kChanged for what it was
  bool approved() const { return kind == Kind::kApproved; }
};
// As docs/protocol.md has it: "approved", "pending", "changed", "revoked", "missing"; "unknown".
std::string_view name_of(Standing::Kind kind);

// A skill as it is now.
struct Look {
  Skill skill;
  Standing standing;
  std::string problem;  // why the changed source cannot be taken over, or empty
};

struct SkillDatabase;
class SkillIndex;

class Skills {
 public:
  // Opens or creates the database. Throws UserError when a newer version wrote it.
  Skills(const std::string& database, ContentStore store, Catalogue catalogue);
  ~Skills();
  Skills(const Skills&) = delete;
  Skills& operator=(const Skills&) = delete;

  // Copies the skill in `directory` into the store and records it under its manifest's name, in
  // place of what had that name. Approvals stay as they are: bound to the content they were given
  // for. The manifest is read from the copy. Throws UserError; then nothing has changed.
  Added add(const std::string& directory);

  // `add` again if the source's content has changed. An unchanged one costs a stat a file.
  Added refresh(const std::string& name);
  // The same without saying what changed. Throws UserError when there is no such skill. Never null.
  std::shared_ptr<const Skill> current(const std::string& name);

  // What the way of a call asks: `refresh`, and what holds then. A source that is gone or broken is
  // not thrown: the standing is then kMissing or kChanged. Nothing for an unknown skill.
  std::optional<Look> look(const std::string& name);

  std::vector<Skill> list();
  // How many skills there are, and of how many the recorded content is approved.
  struct Count {
    std::size_t installed = 0;
    std::size_t approved = 0;
  };
  Count count();
  std::optional<Skill> find(const std::string& name);
  // The same without a copy; null when there is no such skill.
  std::shared_ptr<const Skill> get(const std::string& name);
  // The source directories of all skills.
  const SkillPlaces& places();
  // The first skill by name whose manifest declares `tool`; empty for none.
  std::string declaring(std::string_view tool);
  // Another number after every change of skills or approvals.
  std::uint64_t generation();
  // The skill whose source directory holds `path` (which has no links in it).
  std::optional<Skill> owner_of(const std::string& path);
  // Forgets the skill, its approval and its pending requests. False when there was none.
  bool remove(const std::string& name);

  // Grants what the manifest asks for, or of it only the capabilities named in `only` (empty: all).
  // `shown` is the content digest that the person decided on. Throws UserError, granting nothing:
  // unknown skill, content that is not `shown` any more, a name in `only` that the manifest does
  // not have, or anything that `resolve` refuses. Settles the skill's pending requests.
  Approval approve(const std::string& name, const std::string& shown,
                   const std::vector<std::string>& only, const std::string& decided_by,
                   const Ground& ground);

  // Withdraws the approval. False when there was none.
  bool revoke(const std::string& name);

  // What holds for the skill with this content now.
  Standing standing(const std::string& name, const std::string& content_digest);

  // The pending request of this skill (as recorded now) in this session: the one there is, or a new
  // one.
  Request ask(const std::string& skill, const std::string& session, const std::string& tool,
              std::uint32_t raised_by);
  // Oldest first.
  std::vector<Request> pending();
  std::optional<Request> find_request(const std::string& id);
  // Settles one request, e.g. for "deny" and "allow once", which leave no approval. Throws
  // UserError when it is unknown or settled already.
  Request settle(const std::string& id, RequestState state);

  // Content digests that skills and approvals name, for `ContentStore::remove_unreferenced`.
  std::set<std::string> referenced_content();

  const Catalogue& catalogue() const { return catalogue_; }
  ContentStore& store() { return store_; }

 private:
  class Change;
  SkillIndex& index();
  void load_index();
  void load(const std::string& name);
  bool is_current(const Skill& skill);
  Added add_as(const std::string& directory, const std::string& expected_name);
  Skill record(const std::string& source, const std::string& digest);
  void save(Added& added);

  ContentStore store_;
  Catalogue catalogue_;
  ContentWatch watch_;
  std::unique_ptr<SkillDatabase> database_;
  std::unique_ptr<SkillIndex> index_;
  std::set<std::string> stale_;  // what is to be read again before the index is asked
};

}  // namespace sharkcage
