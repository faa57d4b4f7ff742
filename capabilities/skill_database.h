// The registry's database, and how its rows are read. Internal to skills.cc.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <string>
#include <vector>

#include "capabilities/skills.h"

namespace sharkcage {

inline constexpr const char* kSkillColumns =
    "SELECT name, source, manifest, content_digest, added FROM skills ";
inline constexpr const char* kRequestColumns =
    "SELECT id, skill, session, tool, asked, manifest_digest, content_digest, created, state, "
    "raised_by FROM requests ";

// The connection, and the statements of the way of a call.
struct SkillDatabase {
  // Opens or creates it. Throws UserError when a newer version wrote it.
  explicit SkillDatabase(const std::string& path);

  SQLite::Database db;
  SQLite::Statement skill_by_name;
  SQLite::Statement standing;
  SQLite::Statement pending;
};

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

// Runs one statement that changes something; how many rows it changed.
template <typename... Values>
int run(SQLite::Database& db, const char* sql, const Values&... values) {
  SQLite::Statement statement(db, sql);
  int index = 0;
  (statement.bind(++index, values), ...);
  return statement.exec();
}

// A row of `kSkillColumns`, `kRequestColumns`; an approval's columns from `first` on.
Skill read_skill(Rows& row, const Catalogue& catalogue);
Request read_request(Rows& row);
Approval read_approval(const std::string& skill, Rows& row, int first);

// Names of the tools that a recorded manifest declares.
std::vector<std::string> tools_of(const std::string& manifest);

}  // namespace sharkcage
