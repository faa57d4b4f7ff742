#include "audit/diagnose.h"

#include <optional>
#include <string>
#include <vector>

namespace sharkcage::audit {
namespace {

// How far from its place a record is looked for.
constexpr std::int64_t kWindow = 256;

// A row with its text.
struct Kept {
  std::int64_t seq = 0;
  std::int64_t version = 0;
  std::string time, kind, session, agent, skill, tool, call, decision, reason, policy, payload;
  std::string prev_hash, hash;

  explicit Kept(const Row& row)
      : seq(row.seq),
        version(row.version),
        time(row.time),
        kind(row.kind),
        session(row.session),
        agent(row.agent),
        skill(row.skill),
        tool(row.tool),
        call(row.call),
        decision(row.decision),
        reason(row.reason),
        policy(row.policy),
        payload(row.payload),
        prev_hash(row.prev_hash),
        hash(row.hash) {}

  std::string computed(std::int64_t as_seq, std::string_view as_prev) const {
    std::string text;
    append_canonical(text, {as_seq,
                            version,
                            time,
                            kind,
                            session,
                            agent,
                            skill,
                            tool,
                            call,
                            decision,
                            reason,
                            policy,
                            payload,
                            as_prev,
                            {}});
    Hasher hasher;
    return std::string(hasher.hex(text));
  }
  bool genuine_at(std::int64_t as_seq) const { return computed(as_seq, prev_hash) == hash; }
};

std::string number(std::int64_t seq) {
  return std::to_string(seq);
}

Finding finding(Fault fault, std::int64_t seq, std::string what) {
  return {fault, seq < 0 ? 0 : static_cast<std::uint64_t>(seq), std::move(what)};
}

class Diagnosis {
 public:
  Diagnosis(SQLite::Database& database, std::int64_t bad) : database_(database), bad_(bad) {
    link_ = hash_at(database, static_cast<std::uint64_t>(bad - 1)).value_or("");
    Cursor cursor(database, std::string("SELECT ") + kColumns +
                                " FROM records WHERE seq >= ? ORDER BY seq LIMIT " +
                                number(kWindow));
    cursor.bind(1, bad);
    while (cursor.step()) rows_.emplace_back(cursor.row());
  }

  Finding find() const {
    if (const auto below = below_first()) {
      return finding(Fault::kInserted, 0, "a record numbered " + number(*below) + " was inserted");
    }
    if (rows_.empty() || rows_.front().seq > bad_) return missing();
    const Kept& row = rows_.front();
    if (row.genuine_at(bad_)) return unlinked(row);
    if (const auto original = original_seq(row)) return moved(*original);
    if (rows_.size() > 1 && rows_[1].genuine_at(bad_) && rows_[1].prev_hash == link_) {
      return finding(Fault::kInserted, bad_,
                     "record " + number(bad_) + " was inserted: the one after it is the real one");
    }
    return edited(row);
  }

 private:
  std::optional<std::int64_t> below_first() const {
    Cursor cursor(database_, "SELECT seq FROM records WHERE seq < 1 ORDER BY seq LIMIT 1");
    if (!cursor.step()) return std::nullopt;
    return cursor.integer(0);
  }

  Finding missing() const {
    const std::int64_t last = rows_.empty() ? bad_ : rows_.front().seq - 1;
    return finding(Fault::kDeleted, bad_,
                   last == bad_
                       ? "record " + number(bad_) + " is missing"
                       : "records " + number(bad_) + " to " + number(last) + " are missing");
  }

  // The record is whole, but was chained to another predecessor than the one that stands there.
  Finding unlinked(const Kept& row) const {
    if (bad_ == 1) {
      return finding(Fault::kEdited, 1, "record 1 was replaced: it does not begin a chain");
    }
    return finding(Fault::kEdited, bad_ - 1,
                   "record " + number(bad_ - 1) + " was replaced: record " + number(row.seq) +
                       " was chained to another one");
  }

  // The place that a record's hash was computed for.
  std::optional<std::int64_t> original_seq(const Kept& row) const {
    for (std::int64_t distance = 1; distance <= kWindow; ++distance) {
      if (row.genuine_at(row.seq + distance)) return row.seq + distance;
      if (row.seq > distance && row.genuine_at(row.seq - distance)) return row.seq - distance;
    }
    // Farther away: behind the record that it is chained to, if that one is still in its place.
    Cursor cursor(database_, "SELECT seq FROM records WHERE hash = ? LIMIT 1");
    cursor.bind(1, row.prev_hash);
    if (cursor.step() && cursor.integer(0) + 1 != row.seq &&
        row.genuine_at(cursor.integer(0) + 1)) {
      return cursor.integer(0) + 1;
    }
    return std::nullopt;
  }

  // The record that stands at `bad_` is genuine, but its place is `original`.
  Finding moved(std::int64_t original) const {
    const std::string here =
        "record " + number(original) + " stands in the place of record " + number(bad_);
    if (original < bad_) {
      // All before hold, so a record with a fitting hash was put in, and the rest renumbered.
      return finding(Fault::kInserted, original,
                     "a record was inserted as record " + number(original) + ": " + here);
    }
    if (stands_elsewhere(original)) return finding(Fault::kReordered, bad_, here);
    const std::string last = number(original - 1);
    return finding(Fault::kDeleted, bad_,
                   (original - 1 == bad_ ? "record " + last + " was"
                                         : "records " + number(bad_) + " to " + last + " were") +
                       std::string(" deleted and the rest renumbered"));
  }

  // Whether the record that belongs at `bad_` is still there, in another place.
  bool stands_elsewhere(std::int64_t original) const {
    Cursor cursor(database_, std::string("SELECT ") + kColumns +
                                 " FROM records WHERE prev_hash = ? OR seq = ?");
    cursor.bind(1, link_);
    cursor.bind(2, original);
    while (cursor.step()) {
      const Kept row(cursor.row());
      if (row.seq != bad_ && row.genuine_at(bad_)) return true;
    }
    return false;
  }

  Finding edited(const Kept& row) const {
    const std::string which = "record " + number(bad_) + " was edited: ";
    if (row.computed(bad_, link_) == row.hash) {
      return finding(Fault::kEdited, bad_, which + "its prev_hash");
    }
    if (rows_.size() > 1 && rows_[1].prev_hash == row.computed(bad_, row.prev_hash)) {
      return finding(Fault::kEdited, bad_, which + "its hash");
    }
    return finding(Fault::kEdited, bad_, which + "its fields do not give its hash");
  }

  SQLite::Database& database_;
  std::int64_t bad_;
  std::string link_;  // the hash of the last record that holds
  std::vector<Kept> rows_;
};

}  // namespace

Finding diagnose(SQLite::Database& database, std::uint64_t bad) {
  return Diagnosis(database, static_cast<std::int64_t>(bad)).find();
}

}  // namespace sharkcage::audit
