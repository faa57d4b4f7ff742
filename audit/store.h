// The database file: its schema, how it is opened, how its rows are read. Internal to `audit`.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "audit/row.h"
#include "common/fd.h"

struct sqlite3_stmt;

namespace sharkcage::audit {

// The columns in the order of `Row`'s reader, for SELECT.
extern const char kColumns[];
// The condition of `--blocked`, word for word the condition of its partial index.
extern const char kBlockedCondition[];

// Opens the database for the one writer and creates it with mode 0600 where there is none. Throws
// UserError where it is not ours, SQLite::Exception, system_error.
std::unique_ptr<SQLite::Database> open_writable(const std::string& path);

// Opens without ever writing or creating a file. Throws UserError: there is none, it is not ours,
// or it may not be read.
std::unique_ptr<SQLite::Database> open_readable(const std::string& path);

// Fills the write-ahead log up to a fixed size with zeros, which no reader of it takes for records:
// a commit that overwrites blocks waits half as long as one that makes the file grow. Before
// anything is appended. Where there is little room it does nothing. Throws system_error.
void reserve_wal(const std::string& path);

// Flushes the write-ahead log in place of SQLite (synchronous=NORMAL, which leaves that out of a
// commit and nothing else), in two steps, so that something can be done while the disk works. For
// the one writer.
class WalFlush {
 public:
  // From now on commits of `database` do not wait for the disk. Throws system_error,
  // SQLite::Exception.
  WalFlush(SQLite::Database& database, const std::string& path);
  // The disk begins to write what is committed. Throws system_error: what failed to be written here
  // need not be told once more by `finish`.
  void start();
  // Waits until everything committed before is on the disk. Throws system_error.
  void finish();

 private:
  const std::string path_;
  UniqueFd fd_;
};

// How the schema differs from the one that `open_writable` makes: a trigger, another table, a
// missing index. Empty if not at all. Such things change what is shown without changing a record.
std::string schema_difference(SQLite::Database& database);

// A prepared SELECT that walks over rows. SQLiteCpp's Column takes a reference count for each
// value, which is too slow for a million rows a second.
class Cursor {
 public:
  // Throws SQLite::Exception.
  Cursor(SQLite::Database& database, const std::string& sql);
  ~Cursor();
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;

  void bind(int index, std::int64_t value);
  void bind(int index, const std::string& value);
  // False at the end. Throws SQLite::Exception.
  bool step();
  void reset();

  // The current row; for a SELECT of kColumns. Valid until the next step.
  Row row() const;
  std::int64_t integer(int column) const;
  std::string_view text(int column) const;

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
};

// The last record's place, {0, kNoHash} without any.
Head tip_of(SQLite::Database& database);

// The stored hash of one record.
std::optional<std::string> hash_at(SQLite::Database& database, std::uint64_t seq);

// Everything read inside belongs to one state of the database.
class Snapshot {
 public:
  explicit Snapshot(SQLite::Database& database);
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

 private:
  SQLite::Database& database_;
};

}  // namespace sharkcage::audit
