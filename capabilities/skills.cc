#include "capabilities/skills.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>

#include "common/errors.h"
#include "common/fd.h"
#include "common/hash.h"
#include "common/text.h"

namespace sharkcage {
namespace {

namespace fs = std::filesystem;

constexpr int kSchemaVersion = 1;
constexpr int kBusyMilliseconds = 5000;
constexpr int kMaxPending = 1000;
constexpr int kMaxSettled = 10'000;
constexpr std::size_t kRequestIdBytes = 8;

constexpr const char* kSchema = R"sql(
CREATE TABLE skills (
  name TEXT PRIMARY KEY,
  source TEXT NOT NULL,
  manifest TEXT NOT NULL,
  content_digest TEXT NOT NULL,
  added TEXT NOT NULL,
  revoked INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX skills_by_source ON skills (source);
CREATE TABLE approvals (
  skill TEXT PRIMARY KEY REFERENCES skills (name) ON DELETE CASCADE,
  manifest_digest TEXT NOT NULL,
  content_digest TEXT NOT NULL,
  granted TEXT NOT NULL,
  effects TEXT NOT NULL,
  decided_by TEXT NOT NULL,
  time TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE requests (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  skill TEXT NOT NULL REFERENCES skills (name) ON DELETE CASCADE,
  session TEXT NOT NULL,
  tool TEXT NOT NULL,
  asked TEXT NOT NULL,
  manifest_digest TEXT NOT NULL,
  content_digest TEXT NOT NULL,
  created TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied')),
  raised_by INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_pending_request ON requests (skill, session, content_digest)
  WHERE state = 'pending';
)sql";

constexpr std::string_view kStateNames[] = {"pending", "approved", "denied"};

constexpr const char* kSkillColumns =
    "SELECT name, source, manifest, content_digest, added FROM skills ";
constexpr const char* kRequestColumns =
    "SELECT id, skill, session, tool, asked, manifest_digest, content_digest, created, state, "
    "raised_by FROM requests ";

std::string now() {
  return rfc3339(std::chrono::system_clock::now());
}

// Created by us, so that its mode does not depend on the umask.
std::string private_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) throw_errno("open", path);
  return path;
}

SQLite::Database open_database(const std::string& path) {
  SQLite::Database db(private_file(path), SQLite::OPEN_READWRITE, kBusyMilliseconds);
  db.exec("PRAGMA journal_mode = WAL");
  db.exec("PRAGMA synchronous = FULL");
  db.exec("PRAGMA foreign_keys = ON");
  db.exec("PRAGMA trusted_schema = OFF");
  SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
  const int version = db.execAndGet("PRAGMA user_version").getInt();
  if (version > kSchemaVersion) {
    throw UserError(path + " was written by a newer version of Sharkcage",
                    "Install that version again, or move the file away.");
  }
  if (version == 0) {
    db.exec(kSchema);
    db.exec("PRAGMA user_version = " + std::to_string(kSchemaVersion));
  }
  transaction.commit();
  return db;
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

// The connection, and the statements of the way of a call.
struct Skills::Database {
  explicit Database(const std::string& path)
      : db(open_database(path)),
        skill_by_name(db, std::string(kSkillColumns) + "WHERE name = ?"),
        skill_by_source(db, std::string(kSkillColumns) + "WHERE source = ? ORDER BY name"),
        standing(db,
                 "SELECT s.revoked, a.manifest_digest, a.content_digest, a.granted, a.effects, "
                 "a.decided_by, a.time FROM skills s LEFT JOIN approvals a ON a.skill = s.name "
                 "WHERE s.name = ?"),
        pending(db, std::string(kRequestColumns) +
                        "WHERE skill = ? AND session = ? AND content_digest = ? AND "
                        "state = 'pending'") {}

  SQLite::Database db;
  SQLite::Statement skill_by_name;
  SQLite::Statement skill_by_source;
  SQLite::Statement standing;
  SQLite::Statement pending;
};

namespace {

// Ends a cached statement's read transaction, however it is left.
class Rows {
 public:
  template <typename... Values>
  explicit Rows(SQLite::Statement& statement, const Values&... values) : statement_(statement) {
    statement_.clearBindings();
    int index = 0;
    (statement_.bind(++index, values), ...);
  }
  ~Rows() { statement_.tryReset(); }
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;
  bool next() { return statement_.executeStep(); }
  SQLite::Column operator[](int column) { return statement_.getColumn(column); }
  std::string text(int column) { return statement_.getColumn(column).getString(); }

 private:
  SQLite::Statement& statement_;
};

Manifest manifest_of(const std::string& text, const Catalogue& catalogue) {
  try {
    return parse_manifest(text, "the recorded manifest", catalogue);
  } catch (const UserError&) {
    // The catalogue has changed. `approve` judges it anew; to list it must be possible.
    return recorded_manifest(parse_json(text, "the recorded manifest"));
  }
}

Skill read_skill(Rows& row, const Catalogue& catalogue) {
  Skill skill;
  skill.name = row.text(0);
  skill.source = row.text(1);
  skill.manifest = manifest_of(row.text(2), catalogue);
  skill.content_digest = row.text(3);
  skill.added = row.text(4);
  return skill;
}

Request read_request(Rows& row) {
  Request request;
  request.id = row.text(0);
  request.skill = row.text(1);
  request.session = row.text(2);
  request.tool = row.text(3);
  request.asked = requests_from_json(parse_json(row.text(4), "a request"));
  request.manifest_digest = row.text(5);
  request.content_digest = row.text(6);
  request.created = row.text(7);
  const std::string state = row.text(8);
  const auto found = std::find(std::begin(kStateNames), std::end(kStateNames), state);
  request.state = static_cast<RequestState>(found - std::begin(kStateNames));
  request.raised_by = row[9].getUInt();
  return request;
}

Approval read_approval(const std::string& skill, Rows& row, int first) {
  Approval approval;
  approval.skill = skill;
  approval.manifest_digest = row.text(first);
  approval.content_digest = row.text(first + 1);
  approval.granted = requests_from_json(parse_json(row.text(first + 2), "an approval"));
  approval.effects = effects_from_json(parse_json(row.text(first + 3), "an approval"));
  approval.decided_by = row.text(first + 4);
  approval.time = row.text(first + 5);
  return approval;
}

template <typename... Values>
int run(SQLite::Database& db, const char* sql, const Values&... values) {
  SQLite::Statement statement(db, sql);
  int index = 0;
  (statement.bind(++index, values), ...);
  return statement.exec();
}

}  // namespace

Skills::Skills(const std::string& database, ContentStore store, Catalogue catalogue)
    : store_(std::move(store)),
      catalogue_(std::move(catalogue)),
      database_(std::make_unique<Database>(database)) {}

Skills::~Skills() = default;

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
  const std::optional<Skill> skill = find(name);
  if (!skill) throw unknown_skill(name);
  real_directory(skill->source);  // names the place if it is gone
  const bool same = watch_.digest(skill->source) == skill->content_digest;
  if (!same || store_.find(skill->content_digest).empty()) return add_as(skill->source, name);
  Added added;
  added.skill = *skill;
  return added;
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

std::vector<std::pair<std::string, std::string>> Skills::sources() {
  SQLite::Statement statement(database_->db, "SELECT name, source FROM skills ORDER BY name");
  Rows rows(statement);
  std::vector<std::pair<std::string, std::string>> sources;
  while (rows.next()) sources.emplace_back(rows.text(0), rows.text(1));
  return sources;
}

std::optional<Skill> Skills::find(const std::string& name) {
  Rows rows(database_->skill_by_name, name);
  if (!rows.next()) return std::nullopt;
  return read_skill(rows, catalogue_);
}

std::optional<Skill> Skills::owner_of(const std::string& path) {
  for (fs::path place = path; place.has_relative_path(); place = place.parent_path()) {
    Rows rows(database_->skill_by_source, place.string());
    if (rows.next()) return read_skill(rows, catalogue_);
  }
  return std::nullopt;
}

bool Skills::remove(const std::string& name) {
  if (const std::optional<Skill> skill = find(name)) watch_.forget(skill->source);
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
  approval.effects = resolve(approval.granted, catalogue_, ground);
  approval.decided_by = decided_by;
  approval.time = now();

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
  SQLite::Transaction transaction(database_->db, SQLite::TransactionBehavior::IMMEDIATE);
  const bool had = run(database_->db, "DELETE FROM approvals WHERE skill = ?", name) > 0;
  if (had) run(database_->db, "UPDATE skills SET revoked = 1 WHERE name = ?", name);
  transaction.commit();
  return had;
}

Standing Skills::standing(const std::string& name, const std::string& content_digest) {
  using Kind = Standing::Kind;
  Rows rows(database_->standing, name);
  if (!rows.next()) return {Kind::kUnknown, {}};
  if (rows[1].isNull()) return {rows[0].getInt() != 0 ? Kind::kRevoked : Kind::kUnapproved, {}};
  Approval approval = read_approval(name, rows, 1);
  const bool same = approval.content_digest == content_digest;
  const bool there = same && !store_.find(content_digest).empty();
  return {there ? Kind::kApproved : Kind::kChanged, std::move(approval)};
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
