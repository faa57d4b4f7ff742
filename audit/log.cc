#include "audit/log.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "audit/keys.h"
#include "audit/redact.h"
#include "audit/row.h"
#include "audit/sanitize.h"
#include "audit/seal.h"
#include "audit/store.h"
#include "audit/threads.h"
#include "audit/waiter.h"
#include "common/errors.h"
#include "common/text.h"

namespace sharkcage::audit {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// The seal is flushed right behind a commit, but not more often than this: under load one flush
// serves many commits.
constexpr auto kSealFlushInterval = 10ms;
// How long a record that nobody waits for may wait for others.
constexpr auto kSoon = 2ms;
// How long one that somebody waits for may wait for as many as came with the one before: about what
// a wait for the disk takes.
constexpr auto kGathering = 500us;
// The write-ahead log is copied into the database once it is this long, in pages of 2 KiB …
constexpr int kCheckpointPages = 1024;
// … and by the writer itself, which stops its growth, where that was not enough under steady load:
// only when nobody appends meanwhile can it begin anew from its start.
constexpr int kCheckpointPagesAtMost = 4000;
// What a queued record costs beside its text.
constexpr std::size_t kRecordOverhead = 512;

struct Item {
  Record record;
  std::string payload;  // canonical
  std::chrono::system_clock::time_point time;
  std::size_t bytes = 0;
  Log::Done done;
};

bool exists(const std::string& path) {
  if (::access(path.c_str(), F_OK) == 0) return true;
  if (errno != ENOENT) throw_errno("access", path);
  return false;
}

UniqueFd take_lock(const std::string& database) {
  const std::string path = database + ".lock";
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) throw_errno("open", path);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) throw_errno("flock", path);
    throw UserError("the audit log " + database + " is held by another process",
                    "Only one supervisor an instance may run: \"sc status\" shows it, \"sc stop\" "
                    "ends it.");
  }
  return fd;
}

[[noreturn]] void throw_mismatch(const std::string& what) {
  throw UserError(
      "the audit log does not match its seal: " + what,
      "Run \"sc audit verify\" for details and keep a copy of the files. To go on with a "
      "new log, move the folders audit, seal and keys out of the instance's state "
      "directory.");
}

}  // namespace

class Log::Impl {
 public:
  Impl(const Places& places, LogOptions options);
  ~Impl() { close(); }

  void append(Record record, Done done, Haste haste);
  void hurry();
  Head head() const;
  std::string failure() const;
  void close();
  const Opening& opening() const { return opening_; }

 private:
  // Opening, in this order.
  Key open_key(bool log_exists);
  void check_against_seal();
  void check_tail(const Head& sealed);
  void start_threads();
  void record_recovery(bool torn);

  // The writer thread.
  void run_writer();
  std::vector<Item> next_group();
  void commit(std::vector<Item>& group, std::vector<Committed>& committed);
  void write_row(Item& item, Committed& place);
  void finish(std::vector<Item>& group, const std::vector<Committed>& committed);
  void refuse(std::vector<Item>& group);
  void fail(const std::string& why);
  void relieve_wal();
  void empty_wal();

  // The keeper thread: flushes the seal, moves the write-ahead log into the database.
  void run_keeper();
  void wake_keeper();

  const std::string path_;
  const std::string seal_path_;
  const std::string key_path_;
  const LogOptions options_;
  const Redact redact_;
  UniqueFd lock_;
  std::unique_ptr<SQLite::Database> database_;         // the writer's
  std::unique_ptr<SQLite::Database> keeper_database_;  // the keeper's
  std::unique_ptr<SQLite::Statement> insert_;
  std::unique_ptr<WalFlush> flush_;
  std::unique_ptr<SealFile> seal_;
  Opening opening_;
  bool torn_seal_ = false;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Item> queue_;
  std::size_t queued_bytes_ = 0;
  std::size_t awaited_ = 0;   // of what is queued, what somebody waits for
  std::size_t expected_ = 0;  // as many as were awaited in the group before
  bool hurry_ = false;
  bool closing_ = false;
  std::string failure_;
  Head head_;  // durable and sealed

  // The writer's own.
  Head tip_;
  Hasher hasher_;
  std::string text_;
  std::atomic<int> wal_pages_{0};

  std::mutex keeper_mutex_;
  std::condition_variable keeper_wake_;
  bool seal_dirty_ = false;
  bool keeper_stop_ = false;

  std::once_flag closed_;
  std::thread writer_;
  std::thread keeper_;
};

// A hook that throws must not let the text through, nor stop the record.
static Redact guarded(const std::function<std::string(std::string_view)>& redact) {
  if (!redact) return redact_secrets;
  return [redact](std::string_view text) -> std::string {
    try {
      return redact(text);
    } catch (...) {
      return kRedacted;
    }
  };
}

Log::Impl::Impl(const Places& places, LogOptions options)
    : path_(places.audit_db()),
      seal_path_(places.seal_file()),
      key_path_(places.key_file()),
      options_(std::move(options)),
      redact_(guarded(options_.redact)) {
  lock_ = take_lock(path_);
  const bool had_database = exists(path_);
  Key key = open_key(had_database);
  // The seal comes first and the database second, so that a database without a seal is never
  // honest.
  if (!exists(seal_path_)) {
    if (had_database) throw_mismatch("the seal " + seal_path_ + " is missing");
    SealFile::create(seal_path_, key, {});
  }
  const SealState state = read_seal(seal_path_, key);
  if (!state.seal) throw_mismatch(seal_path_ + " holds no seal that " + key_path_ + " signed");
  opening_.sealed = state.seal->head;
  opening_.created = !had_database && opening_.sealed.seq == 0;
  if (!had_database && !opening_.created) throw_mismatch("the database " + path_ + " is missing");
  torn_seal_ = state.forged;

  database_ = open_writable(path_);
  check_against_seal();
  seal_ = std::make_unique<SealFile>(seal_path_, std::move(key));
  insert_ = std::make_unique<SQLite::Statement>(
      *database_, std::string("INSERT INTO records (") + kColumns +
                      ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  keeper_database_ = std::make_unique<SQLite::Database>(
      path_, SQLite::OPEN_READWRITE | SQLite::OPEN_NOMUTEX, 0 /* ms: never waits */);
  int keep = 1;
  sqlite3_file_control(keeper_database_->getHandle(), nullptr, SQLITE_FCNTL_PERSIST_WAL, &keep);
  keeper_database_->exec("PRAGMA synchronous = FULL");
  sqlite3_wal_hook(
      database_->getHandle(),
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<Impl*>(self)->wal_pages_.store(pages, std::memory_order_relaxed);
        return SQLITE_OK;
      },
      this);
  reserve_wal(path_);
  flush_ = std::make_unique<WalFlush>(*database_, path_);
  start_threads();
}

Key Log::Impl::open_key(bool log_exists) {
  if (exists(key_path_)) return Key::load_private(key_path_);
  if (log_exists || exists(seal_path_)) {
    throw_mismatch("the key " + key_path_ + " that signed it is missing");
  }
  return Key::create(key_path_);
}

void Log::Impl::check_against_seal() {
  const std::string difference = schema_difference(*database_);
  if (!difference.empty()) throw_mismatch("the database was changed: " + difference);
  const Head& sealed = opening_.sealed;
  tip_ = tip_of(*database_);
  if (tip_.seq < sealed.seq) {
    throw_mismatch("record " + std::to_string(sealed.seq) + " is sealed, but the last one is " +
                   std::to_string(tip_.seq));
  }
  if (hash_at(*database_, sealed.seq) != sealed.hash) {
    throw_mismatch("record " + std::to_string(sealed.seq) + " is not the one that was sealed");
  }
  check_tail(sealed);
  opening_.head = tip_;
  opening_.unsealed = tip_.seq - sealed.seq;
  head_ = tip_;
}

// Rows that an unclean stop left beyond the seal are chained like all others. What is not chained
// was not written by a supervisor.
void Log::Impl::check_tail(const Head& sealed) {
  Cursor cursor(*database_,
                std::string("SELECT ") + kColumns + " FROM records WHERE seq >= ? ORDER BY seq");
  cursor.bind(1, static_cast<std::int64_t>(sealed.seq));
  Head at{sealed.seq == 0 ? 0 : sealed.seq - 1, ""};
  while (cursor.step()) {
    const Row row = cursor.row();
    text_.clear();
    append_canonical(text_, row);
    const bool linked = at.hash.empty() ? row.seq > 0 : row.prev_hash == at.hash;
    const bool first = row.seq == 1 && row.prev_hash != kNoHash;
    if (row.seq != static_cast<std::int64_t>(at.seq + 1) || !linked || first ||
        hasher_.hex(text_) != row.hash) {
      throw_mismatch("record " + std::to_string(row.seq) + " was changed");
    }
    at = {static_cast<std::uint64_t>(row.seq), std::string(row.hash)};
  }
}

void Log::Impl::start_threads() {
  {
    const SignalsBlocked blocked;
    writer_ = std::thread([this] { run_writer(); });
    keeper_ = std::thread([this] { run_keeper(); });
  }
  try {
    if (opening_.unsealed > 0 || torn_seal_) record_recovery(torn_seal_);
  } catch (...) {
    close();
    throw;
  }
}

void Log::Impl::record_recovery(bool torn) {
  Record record;
  record.kind = "recovery";
  record.payload = {{"sealed", opening_.sealed.seq}};
  if (opening_.unsealed > 0) {
    record.reason =
        "records beyond the seal were found when the log was opened: the supervisor or "
        "the machine stopped uncleanly, or somebody added them";
    record.payload["first"] = opening_.sealed.seq + 1;
    record.payload["last"] = opening_.head.seq;
  } else {
    record.reason =
        "a seal that this instance did not sign was found when the log was opened: the "
        "machine stopped while it was written, or somebody changed it";
  }
  record.payload["torn_seal"] = torn;
  Waiter waiter;
  append(std::move(record), waiter.callback(), Haste::kNow);
  waiter.wait();
  // Both slots that are not the newest seal get a good one.
  if (!torn) return;
  for (int i = 0; i < 2; ++i) {
    seal_->write(seal_->sign(head()));
    seal_->flush();
  }
}

void Log::Impl::append(Record record, Done done, Haste haste) {
  Item item;
  item.payload = sanitize(record, redact_);
  record.payload = nullptr;
  item.bytes = kRecordOverhead + item.payload.size() + record.session.size() + record.agent.size() +
               record.skill.size() + record.tool.size() + record.call.size() + record.reason.size();
  item.record = std::move(record);
  item.done = std::move(done);
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) throw LogError(failure_);
  if (closing_) throw LogError("The audit log is closed.");
  if (queue_.size() >= options_.max_queued ||
      queued_bytes_ + item.bytes > options_.max_queued_bytes) {
    throw LogError("The audit log is behind by " + std::to_string(queue_.size()) +
                   " records and takes no more until its disk catches up.");
  }
  item.time = std::chrono::system_clock::now();  // under the lock, so that order and times agree
  queued_bytes_ += item.bytes;
  queue_.push_back(std::move(item));
  const bool first = queue_.size() == 1;
  const bool awaited = haste == Haste::kNow;
  if (awaited) ++awaited_;
  if (first || (awaited && (awaited_ == 1 || awaited_ == expected_))) work_.notify_one();
}

void Log::Impl::hurry() {
  const std::lock_guard lock(mutex_);
  hurry_ = true;
  work_.notify_one();
}

void Log::Impl::run_writer() {
  ::pthread_setname_np(::pthread_self(), "audit-writer");
  give_way();
  while (true) {
    std::vector<Item> group = next_group();
    if (group.empty()) return;
    std::vector<Committed> committed(group.size());
    try {
      commit(group, committed);
    } catch (const std::exception& error) {
      fail(error.what());
      refuse(group);
      continue;
    }
    finish(group, committed);
    wake_keeper();
    relieve_wal();
  }
}

// Waits for records. Empty: the log is closing and everything is written. Where several waited for
// the group before, others are about to come again, and one wait for the disk does for all.
std::vector<Item> Log::Impl::next_group() {
  std::unique_lock lock(mutex_);
  work_.wait(lock, [&] { return !queue_.empty() || closing_; });
  work_.wait_for(lock, kSoon, [&] { return awaited_ > 0 || hurry_ || closing_; });
  work_.wait_for(lock, kGathering, [&] { return awaited_ >= expected_ || hurry_ || closing_; });
  expected_ = awaited_ > 1 ? awaited_ : 0;
  std::vector<Item> group;
  while (!queue_.empty() && group.size() < options_.max_group) {
    queued_bytes_ -= queue_.front().bytes;
    group.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  awaited_ = queue_.size();
  hurry_ = false;
  return group;
}

// The order is the promise: rows durable, then sealed, and only then is anybody told.
void Log::Impl::commit(std::vector<Item>& group, std::vector<Committed>& committed) {
  if (const std::string failed = failure(); !failed.empty()) throw LogError(failed);
  const Head before = tip_;
  try {
    SQLite::Transaction transaction(*database_);
    for (std::size_t i = 0; i < group.size(); ++i) write_row(group[i], committed[i]);
    transaction.commit();
    flush_->start();
    const std::string seal = seal_->sign(tip_);
    flush_->finish();
    seal_->write(seal);
  } catch (...) {
    tip_ = before;
    throw;
  }
  const std::lock_guard lock(mutex_);
  head_ = tip_;
}

void Log::Impl::write_row(Item& item, Committed& place) {
  const Record& record = item.record;
  const std::string time = rfc3339(item.time);
  Row row{static_cast<std::int64_t>(tip_.seq + 1),
          kRecordVersion,
          time,
          record.kind,
          record.session,
          record.agent,
          record.skill,
          record.tool,
          record.call,
          record.decision,
          record.reason,
          record.policy,
          item.payload,
          tip_.hash,
          {}};
  text_.clear();
  append_canonical(text_, row);
  const std::string hash(hasher_.hex(text_));
  insert_->reset();
  insert_->bind(1, row.seq);
  insert_->bind(2, kRecordVersion);
  int column = 3;
  for (const std::string* value :
       {&time, &record.kind, &record.session, &record.agent, &record.skill, &record.tool,
        &record.call, &record.decision, &record.reason, &record.policy,
        static_cast<const std::string*>(&item.payload), static_cast<const std::string*>(&tip_.hash),
        &hash}) {
    insert_->bindNoCopy(column++, *value);
  }
  insert_->exec();
  tip_ = {tip_.seq + 1, hash};
  place = {tip_.seq, hash, time};
}

void Log::Impl::finish(std::vector<Item>& group, const std::vector<Committed>& committed) {
  for (std::size_t i = 0; i < group.size(); ++i) {
    if (group[i].done) group[i].done(nullptr, committed[i]);
  }
}

void Log::Impl::refuse(std::vector<Item>& group) {
  const std::string why = failure();
  for (Item& item : group) {
    // Each its own: callers look at it on threads of theirs.
    if (item.done) item.done(std::make_exception_ptr(LogError(why)), {});
  }
}

// From now on nothing is taken. What is queued comes to the writer, which refuses it.
void Log::Impl::fail(const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) return;
  failure_ = "The audit log " + path_ + " cannot be written (" + why +
             "), so nothing is allowed any more. Make room or repair the disk, then restart the "
             "supervisor.";
}

void Log::Impl::relieve_wal() {
  if (wal_pages_.load(std::memory_order_relaxed) < kCheckpointPagesAtMost) return;
  sqlite3_wal_checkpoint_v2(database_->getHandle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr,
                            nullptr);
}

// An empty write-ahead log spares the next reader from recovering it. A reader at work prevents it,
// which does no harm.
void Log::Impl::empty_wal() {
  if (!database_) return;
  database_->setBusyTimeout(0);
  sqlite3_wal_checkpoint_v2(database_->getHandle(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr,
                            nullptr);
}

void Log::Impl::wake_keeper() {
  const std::lock_guard lock(keeper_mutex_);
  seal_dirty_ = true;
  keeper_wake_.notify_one();
}

void Log::Impl::run_keeper() {
  ::pthread_setname_np(::pthread_self(), "audit-keeper");
  give_way();
  auto next_flush = Clock::now();
  std::unique_lock lock(keeper_mutex_);
  while (true) {
    keeper_wake_.wait(lock, [&] { return seal_dirty_ || keeper_stop_; });
    keeper_wake_.wait_until(lock, next_flush, [&] { return keeper_stop_; });
    const bool stop = keeper_stop_;
    seal_dirty_ = false;
    lock.unlock();
    try {
      seal_->flush();
    } catch (const std::exception& error) {
      fail(error.what());
    }
    next_flush = Clock::now() + kSealFlushInterval;
    // That it cannot be copied now, because of a reader or a full disk, loses nothing: the
    // write-ahead log holds the records, and the next commit that fails says so.
    if (wal_pages_.load(std::memory_order_relaxed) >= kCheckpointPages) {
      sqlite3_wal_checkpoint_v2(keeper_database_->getHandle(), nullptr, SQLITE_CHECKPOINT_PASSIVE,
                                nullptr, nullptr);
    }
    lock.lock();
    if (stop) return;
  }
}

Head Log::Impl::head() const {
  const std::lock_guard lock(mutex_);
  return head_;
}

std::string Log::Impl::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void Log::Impl::close() {
  std::call_once(closed_, [&] {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
      work_.notify_one();
    }
    if (writer_.joinable()) writer_.join();
    {
      const std::lock_guard lock(keeper_mutex_);
      keeper_stop_ = true;
      keeper_wake_.notify_one();
    }
    if (keeper_.joinable()) keeper_.join();
    insert_.reset();
    keeper_database_.reset();
    empty_wal();
    database_.reset();
    seal_.reset();
    lock_.reset();  // last: whoever gets it finds everything written
  });
}

Log::Log(const Places& places, LogOptions options) {
  try {
    impl_ = std::make_unique<Impl>(places, std::move(options));
  } catch (const SQLite::Exception& error) {
    throw LogError("The audit log " + places.audit_db() + " cannot be opened (" + error.what() +
                   "). Check its disk and its permissions; \"sc audit verify\" tells whether it is "
                   "damaged.");
  }
}

Log::~Log() = default;

void Log::append(Record record, Done done, Haste haste) {
  impl_->append(std::move(record), std::move(done), haste);
}

void Log::hurry() {
  impl_->hurry();
}

Committed Log::append_and_wait(Record record) {
  Waiter waiter;
  impl_->append(std::move(record), waiter.callback(), Haste::kNow);
  return waiter.wait();
}

Head Log::head() const {
  return impl_->head();
}
std::string Log::failure() const {
  return impl_->failure();
}
const Opening& Log::opening() const {
  return impl_->opening();
}
void Log::close() {
  impl_->close();
}

}  // namespace sharkcage::audit
