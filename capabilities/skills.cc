#include "capabilities/skills.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <map>

#include "capabilities/skill_database.h"
#include "capabilities/skill_index.h"
#include "common/errors.h"
#include "common/fd.h"
#include "common/hash.h"
#include "common/text.h"

namespace sharkcage {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxPending = 1000;
constexpr int kMaxSettled = 10'000;
constexpr std::size_t kRequestIdBytes = 8;

constexpr std::string_view kStateNames[] = {"pending", "approved", "denied"};

std::string now() {
  return rfc3339(std::chrono::system_clock::now());
}

// Without its scope or with a word of it: what one line of an approval is about.
std::set<std::string> lines_of(const std::vector<CapabilityRequest>& requests) {
  std::set<std::string> lines;
  for (const CapabilityRequest& request : requests) {
    if (request.scope.empty()) lines.insert(request.capability);
    for (const std::string& word : request.scope) lines.insert(request.capability + ": " + word);
  }
  return lines;
}

std::vector<std::string> missing_lines(const std::vector<CapabilityRequest>& asked,
                                       const std::vector<CapabilityRequest>& granted) {
  const std::set<std::string> have = lines_of(granted);
  std::vector<std::string> missing;
  for (const std::string& line : lines_of(asked)) {
    if (!have.contains(line)) missing.push_back(line);
  }
  return missing;
}

// The part of `asked` that `only` names; all of it for an empty `only`.
std::vector<CapabilityRequest> chosen(const Manifest& manifest,
                                      const std::vector<std::string>& only) {
  if (only.empty()) return manifest.capabilities;
  for (const std::string& name : only) {
    const bool asked = std::any_of(manifest.capabilities.begin(), manifest.capabilities.end(),
                                   [&](const auto& request) { return request.capability == name; });
    if (!asked) {
      throw UserError(manifest.name + " does not ask for \"" + printable(name) + "\"",
                      "See: sc skill show " + manifest.name);
    }
  }
  std::vector<CapabilityRequest> granted;
  for (const CapabilityRequest& request : manifest.capabilities) {
    if (std::find(only.begin(), only.end(), request.capability) != only.end()) {
      granted.push_back(request);
    }
  }
  return granted;
}

// `granted` as it is here. What cannot be granted can be left out, and the remedy says how.
Effects resolve_for(const std::string& name, const std::vector<CapabilityRequest>& granted,
                    const Catalogue& catalogue, const Ground& ground) {
  try {
    return resolve(granted, catalogue, ground);
  } catch (const UserError& error) {
    // An approval takes or leaves all that is asked for by one name.
    std::map<std::string, bool> possible;
    for (const CapabilityRequest& request : granted) {
      bool& so_far = possible.try_emplace(request.capability, true).first->second;
      try {
        resolve({request}, catalogue, ground);
      } catch (const UserError&) {
        so_far = false;
      }
    }
    std::string good;
    for (const auto& [capability, can_be] : possible) {
      if (can_be) good += (good.empty() ? "" : ",") + capability;
    }
    if (good.empty()) throw;
    throw UserError(error.what(),
                    error.remedy() + " Without it: sc approve " + name + " --only " + good);
  }
}

std::string real_directory(const std::string& directory) {
  std::error_code error;
  const fs::path real = fs::canonical(directory, error);
  if (error) {
    throw UserError("The skill in " + printable(directory) + " cannot be read: " + error.message(),
                    "Name the directory that holds its SKILL.md.");
  }
  if (!fs::is_directory(real)) {
    throw UserError(printable(directory) + " is not a directory",
                    "Name the directory that holds the skill's SKILL.md.");
  }
  return real.string();
}

UserError unknown_skill(const std::string& name) {
  return UserError("There is no skill \"" + printable(name) + "\"",
                   "See: sc skill list. Add one with: sc skill add DIRECTORY");
}

}  // namespace

std::string_view name_of(RequestState state) {
  return kStateNames[static_cast<std::size_t>(state)];
}

std::string_view name_of(Standing::Kind kind) {
  using Kind = Standing::Kind;
  switch (kind) {
    case Kind::kApproved:
      return "approved";
    case Kind::kUnapproved:
      return "pending";
    case Kind::kChanged:
      return "changed";
    case Kind::kRevoked:
      return "revoked";
    case Kind::kMissing:
      return "missing";
    case Kind::kUnknown:
      break;
  }
  return "unknown";
}

// Stands around a transaction that changes `name`: whatever becomes of it, the index reads the
// skill again before it is asked the next time.
class Skills::Change {
 public:
  Change(Skills& skills, const std::string& name) : skills_(skills), name_(name) {}
  ~Change() { skills_.stale_.insert(name_); }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

 private:
  Skills& skills_;
  const std::string& name_;
};

Skills::Skills(const std::string& database, ContentStore store, Catalogue catalogue)
    : store_(std::move(store)),
      catalogue_(std::move(catalogue)),
      database_(std::make_unique<SkillDatabase>(database)),
      index_(std::make_unique<SkillIndex>()) {
  load_index();
}

Skills::~Skills() = default;

void Skills::load_index() {
  SQLite::Statement statement(database_->db, "SELECT name, source, manifest FROM skills");
  Rows rows(statement);
  while (rows.next()) index_->put(rows.text(0), {rows.text(1), tools_of(rows.text(2)), {}, {}});
}

void Skills::load(const std::string& name) {
  index_->erase(name);
  Rows rows(database_->skill_by_name, name);
  if (rows.next()) index_->put(name, {rows.text(1), tools_of(rows.text(2)), {}, {}});
}

// The index as the database is now. What cannot be read stays to be read, and the caller's call
// fails.
SkillIndex& Skills::index() {
  while (!stale_.empty()) {
    load(*stale_.begin());
    stale_.erase(stale_.begin());
  }
  return *index_;
}

const SkillPlaces& Skills::places() {
  return index().places();
}

std::string Skills::declaring(std::string_view tool) {
  return index().declaring(tool);
}

std::uint64_t Skills::generation() {
  return index().generation();
}

std::shared_ptr<const Skill> Skills::get(const std::string& name) {
  SkillIndex::Entry* entry = index().find(name);
  if (entry == nullptr) return nullptr;
  if (!entry->skill) {
    Rows rows(database_->skill_by_name, name);
    if (!rows.next()) return nullptr;
    entry->skill = std::make_shared<const Skill>(read_skill(rows, catalogue_));
  }
  return entry->skill;
}

// The skill whose copy is in the store under `digest`.
Skill Skills::record(const std::string& source, const std::string& digest) {
  const std::string copy = store_.find(digest);
  for (const std::string_view file : kManifestFiles) {
    const std::string path = copy + "/" + std::string(file);
    if (!fs::exists(path)) continue;
    Skill skill;
    skill.source = source;
    skill.content_digest = digest;
    skill.added = now();
    const std::string place = source + "/" + std::string(file);
    skill.manifest = parse_manifest(read_file(path, kMaxManifestBytes), place, catalogue_);
    skill.name = skill.manifest.name;
    if (!skill.manifest.main.empty() && !fs::is_regular_file(copy + "/" + skill.manifest.main)) {
      throw UserError(place + ": main: there is no file \"" + skill.manifest.main +
                      "\" in the skill");
    }
    return skill;
  }
  throw UserError("The skill in " + source + " has no manifest",
                  "Write a sharkcage.json beside its SKILL.md; docs/capabilities.md shows how.");
}

Added Skills::add(const std::string& directory) {
  return add_as(directory, {});
}

Added Skills::add_as(const std::string& directory, const std::string& expected_name) {
  const std::string source = real_directory(directory);
  const std::string digest = store_.add(source);
  try {
    Added added;
    added.skill = record(source, digest);
    if (!expected_name.empty() && added.skill.name != expected_name) {
      throw UserError(
          "The skill in " + source + " was " + expected_name + " and now calls itself " +
              added.skill.name,
          "If that is right: sc skill remove " + expected_name + ", then sc skill add " + source);
    }
    save(added);
    return added;
  } catch (...) {
    if (!referenced_content().contains(digest)) store_.remove(digest);
    throw;
  }
}

// Compares with what is recorded, and replaces it.
void Skills::save(Added& added) {
  const Skill& skill = added.skill;
  const Change change(*this, skill.name);
  SQLite::Transaction transaction(database_->db, SQLite::TransactionBehavior::IMMEDIATE);
  const std::optional<Skill> before = find(skill.name);
  added.created = !before;
  if (before) {
    added.source_changed = before->source != skill.source;
    added.manifest_changed = before->manifest.digest != skill.manifest.digest;
    added.content_changed = before->content_digest != skill.content_digest;
  }
  const std::optional<Approval> approval = standing(skill.name, skill.content_digest).approval;
  added.not_approved = missing_lines(
      skill.manifest.capabilities, approval ? approval->granted : std::vector<CapabilityRequest>{});
  run(database_->db,
      "INSERT INTO skills (name, source, manifest, content_digest, added) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT (name) DO UPDATE SET source = excluded.source, manifest = excluded.manifest, "
      "content_digest = excluded.content_digest, added = excluded.added",
      skill.name, skill.source, skill.manifest.json.dump(), skill.content_digest, skill.added);
  // What was asked about other content cannot be granted any more.
  run(database_->db,
      "DELETE FROM requests WHERE skill = ? AND state = 'pending' AND content_digest <> ?",
      skill.name, skill.content_digest);
  transaction.commit();
}

Added Skills::refresh(const std::string& name) {
  const std::shared_ptr<const Skill> skill = get(name);
  if (!skill) throw unknown_skill(name);
  if (!is_current(*skill)) return add_as(skill->source, name);
  Added added;
  added.skill = *skill;
  return added;
}

std::shared_ptr<const Skill> Skills::current(const std::string& name) {
  std::shared_ptr<const Skill> skill = get(name);
  if (!skill) throw unknown_skill(name);
  if (is_current(*skill)) return skill;
  return std::make_shared<const Skill>(add_as(skill->source, name).skill);
}

bool Skills::is_current(const Skill& skill) {
  real_directory(skill.source);  // names the place if it is gone
  return watch_.digest(skill.source) == skill.content_digest &&
         !store_.find(skill.content_digest).empty();
}

std::optional<Look> Skills::look(const std::string& name) {
  const std::optional<Skill> recorded = find(name);
  if (!recorded) return std::nullopt;
  Look look{*recorded, {}, {}};
  std::error_code error;
  if (!fs::is_directory(recorded->source, error)) {
    look.standing = standing(name, recorded->content_digest);
    look.standing.kind = Standing::Kind::kMissing;
    look.problem = recorded->source + " is not there";
    return look;
  }
  try {
    look.skill = refresh(name).skill;
    look.standing = standing(name, look.skill.content_digest);
  } catch (const UserError& problem) {
    look.standing = standing(name, recorded->content_digest);
    if (look.standing.approved()) look.standing.kind = Standing::Kind::kChanged;
    look.problem = problem.full();
  }
  return look;
}

std::vector<Skill> Skills::list() {
  SQLite::Statement statement(database_->db, std::string(kSkillColumns) + "ORDER BY name");
  Rows rows(statement);
  std::vector<Skill> skills;
  while (rows.next()) skills.push_back(read_skill(rows, catalogue_));
  return skills;
}

Skills::Count Skills::count() {
  SQLite::Statement statement(database_->db,
                              "SELECT count(*), count(a.skill) FROM skills s LEFT JOIN approvals a "
                              "ON a.skill = s.name AND a.content_digest = s.content_digest");
  Rows rows(statement);
  rows.next();
  return {static_cast<std::size_t>(rows[0].getInt64()),
          static_cast<std::size_t>(rows[1].getInt64())};
}

std::optional<Skill> Skills::find(const std::string& name) {
  const std::shared_ptr<const Skill> skill = get(name);
  return skill ? std::optional(*skill) : std::nullopt;
}

std::optional<Skill> Skills::owner_of(const std::string& path) {
  return find(places().around(path).skill);
}

bool Skills::remove(const std::string& name) {
  if (const std::shared_ptr<const Skill> skill = get(name)) watch_.forget(skill->source);
  const Change change(*this, name);
  return run(database_->db, "DELETE FROM skills WHERE name = ?", name) > 0;
}

Approval Skills::approve(const std::string& name, const std::string& shown,
                         const std::vector<std::string>& only, const std::string& decided_by,
                         const Ground& ground) {
  const Skill skill = refresh(name).skill;
  if (skill.content_digest != shown || !store_.intact(shown)) {
    throw UserError(name + " has changed since it was shown; nothing is approved",
                    "Look at it again: sc skill show " + name);
  }
  Approval approval;
  approval.skill = name;
  approval.manifest_digest = skill.manifest.digest;
  approval.content_digest = shown;
  approval.granted = chosen(skill.manifest, only);
  approval.effects = resolve_for(name, approval.granted, catalogue_, ground);
  approval.decided_by = decided_by;
  approval.time = now();

  const Change change(*this, name);
  SQLite::Transaction transaction(database_->db, SQLite::TransactionBehavior::IMMEDIATE);
  run(database_->db,
      "INSERT OR REPLACE INTO approvals (skill, manifest_digest, content_digest, granted, effects, "
      "decided_by, time) VALUES (?, ?, ?, ?, ?, ?, ?)",
      approval.skill, approval.manifest_digest, approval.content_digest,
      to_json(approval.granted).dump(), approval.effects.to_json().dump(), approval.decided_by,
      approval.time);
  run(database_->db, "UPDATE skills SET revoked = 0 WHERE name = ?", name);
  run(database_->db, "UPDATE requests SET state = 'approved' WHERE skill = ? AND state = 'pending'",
      name);
  transaction.commit();
  return approval;
}

bool Skills::revoke(const std::string& name) {
  const Change change(*this, name);
  SQLite::Transaction transaction(database_->db, SQLite::TransactionBehavior::IMMEDIATE);
  const bool had = run(database_->db, "DELETE FROM approvals WHERE skill = ?", name) > 0;
  if (had) run(database_->db, "UPDATE skills SET revoked = 1 WHERE name = ?", name);
  transaction.commit();
  return had;
}

Standing Skills::standing(const std::string& name, const std::string& content_digest) {
  using Kind = Standing::Kind;
  SkillIndex::Entry* entry = index().find(name);
  if (entry == nullptr) return {Kind::kUnknown, {}};
  if (!entry->grant) {
    Rows rows(database_->standing, name);
    if (!rows.next()) return {Kind::kUnknown, {}};
    SkillIndex::Grant grant{rows[0].getInt() != 0, {}};
    if (!rows[1].isNull()) grant.approval = read_approval(name, rows, 1);
    entry->grant = std::make_shared<const SkillIndex::Grant>(std::move(grant));
  }
  const auto& approval = entry->grant->approval;
  if (!approval) return {entry->grant->revoked ? Kind::kRevoked : Kind::kUnapproved, {}};
  const bool same = approval->content_digest == content_digest;
  const bool there = same && !store_.find(content_digest).empty();
  return {there ? Kind::kApproved : Kind::kChanged, approval};
}

Request Skills::ask(const std::string& name, const std::string& session, const std::string& tool,
                    std::uint32_t raised_by) {
  SQLite::Transaction transaction(database_->db, SQLite::TransactionBehavior::IMMEDIATE);
  const std::optional<Skill> skill = find(name);
  if (!skill) throw unknown_skill(name);
  {
    Rows rows(database_->pending, name, session, skill->content_digest);
    if (rows.next()) return read_request(rows);
  }
  const int count =
      database_->db.execAndGet("SELECT count(*) FROM requests WHERE state = 'pending'").getInt();
  if (count >= kMaxPending) {
    throw UserError("There are " + std::to_string(count) + " requests that wait for a person",
                    "Settle them: sc approve --pending");
  }
  run(database_->db,
      "DELETE FROM requests WHERE state <> 'pending' AND "
      "number < (SELECT max(number) FROM requests) - ?",
      kMaxSettled);
  Request request{random_hex(kRequestIdBytes),
                  name,
                  session,
                  tool,
                  skill->manifest.capabilities,
                  skill->manifest.digest,
                  skill->content_digest,
                  now(),
                  RequestState::kPending,
                  raised_by};
  run(database_->db,
      "INSERT INTO requests (id, skill, session, tool, asked, manifest_digest, content_digest, "
      "created, state, raised_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?)",
      request.id, request.skill, request.session, request.tool, to_json(request.asked).dump(),
      request.manifest_digest, request.content_digest, request.created, raised_by);
  transaction.commit();
  return request;
}

std::vector<Request> Skills::pending() {
  SQLite::Statement statement(
      database_->db, std::string(kRequestColumns) + "WHERE state = 'pending' ORDER BY number");
  Rows rows(statement);
  std::vector<Request> requests;
  while (rows.next()) requests.push_back(read_request(rows));
  return requests;
}

std::optional<Request> Skills::find_request(const std::string& id) {
  SQLite::Statement statement(database_->db, std::string(kRequestColumns) + "WHERE id = ?");
  Rows rows(statement, id);
  if (!rows.next()) return std::nullopt;
  return read_request(rows);
}

Request Skills::settle(const std::string& id, RequestState state) {
  SQLite::Transaction transaction(database_->db, SQLite::TransactionBehavior::IMMEDIATE);
  std::optional<Request> request = find_request(id);
  if (!request) {
    throw UserError("There is no request \"" + printable(id) + "\"", "See: sc approve --pending");
  }
  if (request->state != RequestState::kPending || state == RequestState::kPending) {
    throw UserError("Request " + printable(id) +
                    " is settled already: " + std::string(name_of(request->state)));
  }
  run(database_->db, "UPDATE requests SET state = ? WHERE id = ?", std::string(name_of(state)), id);
  transaction.commit();
  request->state = state;
  return *request;
}

std::set<std::string> Skills::referenced_content() {
  SQLite::Statement statement(database_->db,
                              "SELECT content_digest FROM skills UNION "
                              "SELECT content_digest FROM approvals");
  Rows rows(statement);
  std::set<std::string> digests;
  while (rows.next()) digests.insert(rows.text(0));
  return digests;
}

}  // namespace sharkcage
