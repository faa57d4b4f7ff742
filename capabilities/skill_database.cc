#include "capabilities/skill_database.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/errors.h"
#include "common/fd.h"

namespace sharkcage {
namespace {

constexpr int kSchemaVersion = 1;
constexpr int kBusyMilliseconds = 5000;

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

Manifest manifest_of(const std::string& text, const Catalogue& catalogue) {
  try {
    return parse_manifest(text, "the recorded manifest", catalogue);
  } catch (const UserError&) {
    // The catalogue has changed. `approve` judges it anew; to list it must be possible.
    return recorded_manifest(parse_json(text, "the recorded manifest"));
  }
}

}  // namespace

SkillDatabase::SkillDatabase(const std::string& path)
    : db(open_database(path)),
      skill_by_name(db, std::string(kSkillColumns) + "WHERE name = ?"),
      standing(db,
               "SELECT s.revoked, a.manifest_digest, a.content_digest, a.granted, a.effects, "
               "a.decided_by, a.time FROM skills s LEFT JOIN approvals a ON a.skill = s.name "
               "WHERE s.name = ?"),
      pending(db, std::string(kRequestColumns) +
                      "WHERE skill = ? AND session = ? AND content_digest = ? AND "
                      "state = 'pending'") {}

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
  for (const auto known :
       {RequestState::kPending, RequestState::kApproved, RequestState::kDenied}) {
    if (state == name_of(known)) request.state = known;
  }
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

std::vector<std::string> tools_of(const std::string& manifest) {
  std::vector<std::string> names;
  for (const ToolDeclaration& tool :
       recorded_manifest(parse_json(manifest, "the recorded manifest")).tools) {
    names.push_back(tool.name);
  }
  return names;
}

}  // namespace sharkcage
