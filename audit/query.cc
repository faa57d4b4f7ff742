#include "audit/query.h"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "audit/store.h"
#include "common/errors.h"
#include "common/text.h"

namespace sharkcage::audit {
namespace {

using Value = std::variant<std::int64_t, std::string>;

// A WHERE clause and what its question marks stand for.
struct Condition {
  std::string from = "records";
  std::string where;
  std::vector<Value> values;

  void add(const std::string& term) { where += (where.empty() ? "" : " AND ") + term; }
  void add(const std::string& term, Value value) {
    add(term);
    values.push_back(std::move(value));
  }
};

Condition condition_of(const Query& query) {
  Condition condition;
  condition.add("seq > ?", static_cast<std::int64_t>(query.after_seq));  // the first of the values
  if (query.blocked) {
    // SQLite has no statistics here and might prefer another index.
    condition.from += " INDEXED BY records_blocked";
    condition.add(kBlockedCondition);
  }
  if (query.skill) condition.add("skill = ?", *query.skill);
  if (query.tool) condition.add("tool = ?", *query.tool);
  if (query.session) condition.add("session = ?", *query.session);
  // Times of one format order as text.
  if (query.since) condition.add("time >= ?", rfc3339(*query.since));
  return condition;
}

void bind_all(Cursor& cursor, const Condition& condition) {
  int index = 1;
  for (const Value& value : condition.values) {
    std::visit([&](const auto& bound) { cursor.bind(index++, bound); }, value);
  }
}

// The first record that the query can concern; nothing where there is none. It spares the sorting
// of a tail, and a walk over everything that is older than `since`.
std::optional<std::int64_t> first_seq(SQLite::Database& database, const Query& query,
                                      const Condition& condition) {
  std::string sql;
  if (query.tail) {
    sql = "SELECT min(seq), count(*) FROM (SELECT seq FROM " + condition.from + " WHERE " +
          condition.where + " ORDER BY seq DESC LIMIT " + std::to_string(*query.tail) + ")";
    Cursor cursor(database, sql);
    bind_all(cursor, condition);
    if (!cursor.step() || cursor.integer(1) == 0) return std::nullopt;
    return cursor.integer(0);
  }
  if (query.since && !query.blocked) {
    Cursor cursor(database,
                  "SELECT min(seq), count(*) FROM records INDEXED BY records_time WHERE time >= ?");
    cursor.bind(1, rfc3339(*query.since));
    if (!cursor.step() || cursor.integer(1) == 0) return std::nullopt;
    return cursor.integer(0);
  }
  return 0;
}

}  // namespace

class Reader::Impl {
 public:
  explicit Impl(const std::string& path) : path_(path), database_(open(path)) {
    database_->exec("PRAGMA temp_store = MEMORY");
  }

  std::uint64_t read(const Query& query, const std::function<bool(const Record&)>& each);
  std::uint64_t last_seq();
  bool changed();

 private:
  static std::unique_ptr<SQLite::Database> open(const std::string& path);
  [[noreturn]] void throw_damaged(const SQLite::Exception& error) const;

  std::string path_;
  std::unique_ptr<SQLite::Database> database_;
  std::int64_t data_version_ = -1;
};

std::unique_ptr<SQLite::Database> Reader::Impl::open(const std::string& path) {
  try {
    return open_readable(path);
  } catch (const SQLite::Exception& error) {
    throw UserError("the audit log " + path + " cannot be opened (" + error.what() + ")",
                    "Run \"sc audit verify\" to see whether it is damaged.");
  }
}

void Reader::Impl::throw_damaged(const SQLite::Exception& error) const {
  throw UserError("the audit log " + path_ + " cannot be read (" + error.what() + ")",
                  "Run \"sc audit verify\" to see whether it is damaged.");
}

std::uint64_t Reader::Impl::read(const Query& query,
                                 const std::function<bool(const Record&)>& each) {
  try {
    const Snapshot snapshot(*database_);
    Condition condition = condition_of(query);
    const std::optional<std::int64_t> first = first_seq(*database_, query, condition);
    if (!first) return 0;
    // Not a term of its own: of two lower bounds SQLite walks from the one that comes first.
    condition.values.front() = std::max(static_cast<std::int64_t>(query.after_seq), *first - 1);
    std::string sql = std::string("SELECT ") + kColumns + " FROM " + condition.from + " WHERE " +
                      condition.where + " ORDER BY seq";
    if (query.limit) sql += " LIMIT " + std::to_string(*query.limit);
    Cursor cursor(*database_, sql);
    bind_all(cursor, condition);
    std::uint64_t count = 0;
    while (cursor.step()) {
      ++count;
      if (!each(to_record(cursor.row()))) break;
    }
    return count;
  } catch (const SQLite::Exception& error) {
    throw_damaged(error);
  }
}

std::uint64_t Reader::Impl::last_seq() {
  try {
    return tip_of(*database_).seq;
  } catch (const SQLite::Exception& error) {
    throw_damaged(error);
  }
}

bool Reader::Impl::changed() {
  try {
    const std::int64_t version = database_->execAndGet("PRAGMA data_version").getInt64();
    return std::exchange(data_version_, version) != version;
  } catch (const SQLite::Exception& error) {
    throw_damaged(error);
  }
}

Reader::Reader(const std::string& database) : impl_(std::make_unique<Impl>(database)) {}
Reader::~Reader() = default;
Reader::Reader(Reader&&) noexcept = default;
Reader& Reader::operator=(Reader&&) noexcept = default;

std::uint64_t Reader::read(const Query& query, const std::function<bool(const Record&)>& each) {
  return impl_->read(query, each);
}
std::uint64_t Reader::last_seq() {
  return impl_->last_seq();
}
bool Reader::changed() {
  return impl_->changed();
}

}  // namespace sharkcage::audit
