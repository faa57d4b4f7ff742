#include "audit/store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <map>

#include "common/errors.h"
#include "common/fd.h"

namespace sharkcage::audit {

const char kColumns[] =
    "seq, version, time, kind, session, agent, skill, tool, call, decision, reason, policy, "
    "payload, "
    "prev_hash, hash";

// Without a column of its own: one that the hash does not cover could be edited to hide a record
// from
// `--blocked`.
#define SHARKCAGE_BLOCKED "(decision = 'block' OR json_array_length(payload, '$.refused') > 0)"
const char kBlockedCondition[] = SHARKCAGE_BLOCKED;

namespace {

constexpr int kBusyMilliseconds = 5000;
// Of the write-ahead log, in bytes: what is kept at hand, and the free space from which on it is.
constexpr std::size_t kReserve = 8u << 20;
constexpr std::size_t kReserveNeeds = 256u << 20;
constexpr int kApplicationId = 0x53434155;  // "SCAU"
constexpr int kSchemaVersion = 1;

// As sqlite_schema keeps them: name and text.
constexpr std::array<std::pair<const char*, const char*>, 6> kSchema{{
    {"records",
     "CREATE TABLE records (seq INTEGER PRIMARY KEY, version INTEGER NOT NULL, time TEXT NOT NULL, "
     "kind TEXT NOT NULL, session TEXT NOT NULL, agent TEXT NOT NULL, skill TEXT NOT NULL, "
     "tool TEXT NOT NULL, call TEXT NOT NULL, decision TEXT NOT NULL, reason TEXT NOT NULL, "
     "policy TEXT NOT NULL, payload TEXT NOT NULL, prev_hash TEXT NOT NULL, hash TEXT NOT NULL"
     ") STRICT"},
    {"records_blocked", "CREATE INDEX records_blocked ON records (seq) WHERE " SHARKCAGE_BLOCKED},
    {"records_session", "CREATE INDEX records_session ON records (session)"},
    {"records_skill", "CREATE INDEX records_skill ON records (skill)"},
    {"records_time", "CREATE INDEX records_time ON records (time)"},
    {"records_tool", "CREATE INDEX records_tool ON records (tool)"},
}};

// A file: URI for SQLite (RFC 3986; sqlite.org/uri.html).
std::string uri_of(const std::string& path, std::string_view query) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '?' || c == '#' || c == '%') {
      uri += '%';
      uri += kHex[static_cast<unsigned char>(c) >> 4];
      uri += kHex[c & 15];
    } else {
      uri += c;
    }
  }
  return uri + std::string(query);
}

// Broken pages are an error, never read as something else. (trusted_schema stays on: the index of
// blocked records uses a JSON function, which SQLite 3.40 does not count as harmless; nothing but
// SQLite's own functions exists here, and a schema that differs is refused or reported.)
void guard_against_content(SQLite::Database& database) {
  database.exec("PRAGMA cell_size_check = ON");
}

void sync_directory_of(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path();
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) throw_errno("fsync", directory);
}

// SQLite gives its -wal and -shm files the mode of the database, so that is made first.
bool create_private_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (fd) return true;
  if (errno == EEXIST) return false;
  throw_errno("create", path);
}

void create_schema(SQLite::Database& database) {
  SQLite::Transaction transaction(database);
  for (const auto& [name, sql] : kSchema) database.exec(sql);
  database.exec("PRAGMA application_id = " + std::to_string(kApplicationId));
  database.exec("PRAGMA user_version = " + std::to_string(kSchemaVersion));
  transaction.commit();
}

bool is_empty(SQLite::Database& database) {
  return database.execAndGet("SELECT count(*) FROM sqlite_schema").getInt() == 0;
}

void require_ours(SQLite::Database& database, const std::string& path) {
  const int id = database.execAndGet("PRAGMA application_id").getInt();
  const int version = database.execAndGet("PRAGMA user_version").getInt();
  if (id != kApplicationId) {
    throw UserError(path + " is not an audit log",
                    "Move the file away; the supervisor makes a new log when it starts.");
  }
  if (version != kSchemaVersion) {
    throw UserError(path + " is an audit log of version " + std::to_string(version) +
                        ", this program knows version " + std::to_string(kSchemaVersion),
                    "Use the program that wrote it, or a later one.");
  }
}

}  // namespace

std::unique_ptr<SQLite::Database> open_writable(const std::string& path) {
  create_private_file(path);
  auto database = std::make_unique<SQLite::Database>(
      path, SQLite::OPEN_READWRITE | SQLite::OPEN_NOMUTEX, kBusyMilliseconds);
  guard_against_content(*database);
  // Readers, also those that may not write the directory, need the -wal and -shm files to stay
  // (sqlite.org/wal.html, "Read-Only Databases").
  int keep = 1;
  sqlite3_file_control(database->getHandle(), nullptr, SQLITE_FCNTL_PERSIST_WAL, &keep);
  // Of a new log. A commit writes the last page of the table and of each index: small pages are
  // less to write, and a usual record still fits into one.
  database->exec("PRAGMA page_size = 2048");
  // FULL: each commit waits for the disk. Checkpoints are made by a thread of their own.
  database->exec("PRAGMA journal_mode = WAL");
  database->exec("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0");
  if (is_empty(*database)) {
    create_schema(*database);
    sync_directory_of(path);
  }
  require_ours(*database, path);
  return database;
}

std::unique_ptr<SQLite::Database> open_readable(const std::string& path) {
  if (::access(path.c_str(), F_OK) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) throw_errno("open", path);
    throw UserError("there is no audit log yet (" + path + ")",
                    "Start the supervisor with \"sc start\"; it makes the log.");
  }
  if (::access(path.c_str(), R_OK) != 0) {
    throw UserError("the audit log " + path + " may not be read by this user",
                    "Run the command as the user that runs the supervisor, or as root.");
  }
  // Without a -wal file nobody writes, and everything is in the database: a copy, or a backup. Then
  // SQLite need not, and with "immutable" does not, make the files that coordinate with a writer.
  const bool alone = ::access((path + "-wal").c_str(), F_OK) != 0;
  auto database = std::make_unique<SQLite::Database>(
      uri_of(path, alone ? "?immutable=1" : ""),
      SQLite::OPEN_READONLY | SQLite::OPEN_URI | SQLite::OPEN_NOMUTEX, kBusyMilliseconds);
  guard_against_content(*database);
  if (is_empty(*database)) {
    throw UserError("there is no audit log yet (" + path + " is empty)",
                    "Start the supervisor with \"sc start\"; it makes the log.");
  }
  require_ours(*database, path);
  return database;
}

void reserve_wal(const std::string& path) {
  const std::string wal = path + "-wal";
  const UniqueFd fd(::open(wal.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status {};
  struct statvfs system {};
  rlimit limit{};
  if (!fd || ::fstat(fd.get(), &status) != 0) throw_errno("open", wal);
  if (::fstatvfs(fd.get(), &system) != 0) throw_errno("fstatvfs", wal);
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0) throw_errno("getrlimit");
  const auto size = static_cast<std::size_t>(status.st_size);
  const bool room = system.f_bavail > kReserveNeeds / system.f_bsize && limit.rlim_cur > kReserve;
  if (size >= kReserve || !room) return;
  if (::lseek(fd.get(), 0, SEEK_END) < 0) throw_errno("lseek", wal);
  write_all(fd.get(), std::string(kReserve - size, '\0'));
  if (::fsync(fd.get()) != 0) throw_errno("fsync", wal);
}

WalFlush::WalFlush(SQLite::Database& database, const std::string& path)
    : path_(path + "-wal"), fd_(::open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW)) {
  // SQLite keeps this very file open: it does not make another one while it is in use.
  if (!fd_) throw_errno("open", path_);
  database.exec("PRAGMA synchronous = NORMAL");
}

void WalFlush::start() {
  if (::sync_file_range(fd_.get(), 0, 0, SYNC_FILE_RANGE_WRITE) == 0) return;
  // A kernel or a filter of a container that does not have it: `finish` does all of it.
  if (errno != ENOSYS && errno != EPERM) throw_errno("sync_file_range", path_);
}

void WalFlush::finish() {
  if (::fdatasync(fd_.get()) != 0) throw_errno("fdatasync", path_);
}

std::string schema_difference(SQLite::Database& database) {
  std::map<std::string, std::string> expected(kSchema.begin(), kSchema.end());
  Cursor cursor(database, "SELECT type, name, coalesce(sql, '') FROM sqlite_schema ORDER BY name");
  while (cursor.step()) {
    const std::string type(cursor.text(0));
    const std::string name(cursor.text(1));
    const auto found = expected.find(name);
    if (found == expected.end()) return "it has a " + type + " \"" + name + "\"";
    if (found->second != cursor.text(2)) {
      return "its " + type + " \"" + name + "\" is built differently";
    }
    expected.erase(found);
  }
  if (!expected.empty()) return "\"" + expected.begin()->first + "\" is missing";
  return {};
}

Cursor::Cursor(SQLite::Database& database, const std::string& sql)
    : database_(database.getHandle()) {
  const int rc = sqlite3_prepare_v2(database_, sql.c_str(), static_cast<int>(sql.size()),
                                    &statement_, nullptr);
  if (rc != SQLITE_OK) throw SQLite::Exception(database_, rc);
}

Cursor::~Cursor() {
  sqlite3_finalize(statement_);
}

void Cursor::bind(int index, std::int64_t value) {
  sqlite3_bind_int64(statement_, index, value);
}

void Cursor::bind(int index, const std::string& value) {
  sqlite3_bind_text(statement_, index, value.data(), static_cast<int>(value.size()),
                    SQLITE_TRANSIENT);
}

bool Cursor::step() {
  const int rc = sqlite3_step(statement_);
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  throw SQLite::Exception(database_, rc);
}

void Cursor::reset() {
  sqlite3_reset(statement_);
}

std::int64_t Cursor::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string_view Cursor::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

Row Cursor::row() const {
  return {integer(0), integer(1), text(2),  text(3),  text(4),  text(5),  text(6), text(7),
          text(8),    text(9),    text(10), text(11), text(12), text(13), text(14)};
}

Head tip_of(SQLite::Database& database) {
  Cursor cursor(database, "SELECT seq, hash FROM records WHERE seq > 0 ORDER BY seq DESC LIMIT 1");
  if (!cursor.step()) return {};
  return {static_cast<std::uint64_t>(cursor.integer(0)), std::string(cursor.text(1))};
}

std::optional<std::string> hash_at(SQLite::Database& database, std::uint64_t seq) {
  if (seq == 0) return std::string(kNoHash);
  Cursor cursor(database, "SELECT hash FROM records WHERE seq = ?");
  cursor.bind(1, static_cast<std::int64_t>(seq));
  if (!cursor.step()) return std::nullopt;
  return std::string(cursor.text(0));
}

// A deferred transaction takes its snapshot at the first read.
Snapshot::Snapshot(SQLite::Database& database) : database_(database) {
  database_.exec("BEGIN");
  try {
    database_.execAndGet("SELECT count(*) FROM (SELECT 1 FROM records LIMIT 1)");
  } catch (...) {
    sqlite3_exec(database_.getHandle(), "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
}

Snapshot::~Snapshot() {
  sqlite3_exec(database_.getHandle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

}  // namespace sharkcage::audit
