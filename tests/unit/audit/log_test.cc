#include "audit/log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "audit/keys.h"
#include "audit/seal.h"
#include "common/errors.h"
#include "common/fd.h"
#include "tests/unit/audit/instance.h"

namespace sharkcage::audit {
namespace {

// Keeps the writer in `done` until it is opened, so that a queue fills without a race.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    reached_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
  }
  void wait_until_reached() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return reached_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  bool reached_ = false;
};

TEST(AuditLog, ChainsRecordsFromTheFirst) {
  const Instance instance;
  Log log(instance.places());
  EXPECT_TRUE(log.opening().created);
  const Committed first = log.append_and_wait(Instance::record(1));
  const Committed second = log.append_and_wait(Instance::record(2));
  EXPECT_EQ(first.seq, 1u);
  EXPECT_EQ(second.seq, 2u);
  const auto records = instance.read();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].prev_hash, kNoHash);
  EXPECT_EQ(records[1].prev_hash, first.hash);
  for (const Record& record : records) EXPECT_EQ(record.hash, hash_of(record));
  EXPECT_EQ(log.head(), (Head{2, second.hash}));
}

TEST(AuditLog, IsSealedWhenARecordIsAcknowledged) {
  const Instance instance;
  Log log(instance.places());
  const Key key = Key::load_public(public_key_file(instance.places().key_file()));
  for (int i = 1; i <= 20; ++i) {
    const Committed committed = log.append_and_wait(Instance::record(i));
    const SealState state = read_seal(instance.places().seal_file(), key);
    ASSERT_TRUE(state.seal);
    EXPECT_FALSE(state.forged);
    EXPECT_EQ(state.seal->head, (Head{committed.seq, committed.hash}));
  }
}

TEST(AuditLog, GoesOnWhereItEnded) {
  Instance instance;
  instance.fill(5);
  Log log(instance.places());
  EXPECT_FALSE(log.opening().created);
  EXPECT_EQ(log.opening().head.seq, 5u);
  EXPECT_EQ(log.opening().unsealed, 0u);
  EXPECT_EQ(log.append_and_wait(Instance::record(6)).seq, 6u);
  log.close();
  EXPECT_TRUE(instance.verified().ok());
}

TEST(AuditLog, FilesArePrivate) {
  const mode_t before = ::umask(0);
  const Instance instance;
  Log log(instance.places());
  log.append_and_wait(Instance::record(1));
  ::umask(before);
  const std::string pub = public_key_file(instance.places().key_file());
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(instance.places().state_dir)) {
    if (!entry.is_regular_file() || entry.path() == pub) continue;
    struct stat status {};
    ASSERT_EQ(::stat(entry.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u) << entry.path();
  }
}

TEST(AuditLog, RefusesAKeyThatOthersCanRead) {
  Instance instance;
  instance.fill(1);
  std::filesystem::permissions(instance.places().key_file(), std::filesystem::perms::group_read,
                               std::filesystem::perm_options::add);
  EXPECT_THROW(Log(instance.places()), UserError);
}

TEST(AuditLog, RefusesASecondWriter) {
  const Instance instance;
  Log log(instance.places());
  EXPECT_THROW(Log(instance.places()), UserError);
  const pid_t child = ::fork();
  if (child == 0) {
    int status = 1;
    try {
      const Log second(instance.places());
    } catch (const UserError&) {
      status = 0;
    } catch (...) {
    }
    ::_exit(status);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  log.close();
  EXPECT_NO_THROW(Log(instance.places()));
}

TEST(AuditLog, ThreadsGetEachTheirOwnPlace) {
  const Instance instance;
  constexpr int kThreads = 8;
  constexpr int kEach = 500;
  std::mutex mutex;
  std::set<std::uint64_t> places;
  std::vector<std::vector<std::uint64_t>> by_thread(kThreads);
  {
    Log log(instance.places());
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) {
          log.append(Instance::record(i), [&, t](std::exception_ptr error, const Committed& at) {
            const std::lock_guard lock(mutex);
            if (error) return;
            places.insert(at.seq);
            by_thread[static_cast<std::size_t>(t)].push_back(at.seq);
          });
          if (i % 100 == 0) log.append_and_wait(Instance::record(i));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(places.size(), static_cast<std::size_t>(kThreads * kEach));
  for (const auto& order : by_thread) EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  const Verification result = instance.verified();
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.records, static_cast<std::uint64_t>(kThreads * (kEach + kEach / 100)));
}

TEST(AuditLog, CloseWritesWhatIsQueued) {
  const Instance instance;
  std::atomic<int> written = 0;
  Log log(instance.places());
  for (int i = 1; i <= 3000; ++i) {
    log.append(Instance::record(i), [&](std::exception_ptr error, const Committed&) {
      if (!error) ++written;
    });
  }
  log.close();
  EXPECT_EQ(written, 3000);
  EXPECT_EQ(instance.read().size(), 3000u);
  EXPECT_THROW(log.append_and_wait(Instance::record(1)), LogError);
}

TEST(AuditLog, RefusesWhenTheQueueIsFull) {
  const Instance instance;
  LogOptions options;
  options.max_queued = 10;
  Log log(instance.places(), options);
  Gate gate;
  log.append(Instance::record(0), [&](std::exception_ptr, const Committed&) { gate.pass(); });
  gate.wait_until_reached();
  for (int i = 0; i < 10; ++i) log.append(Instance::record(i), nullptr);
  EXPECT_THROW(log.append(Instance::record(11), nullptr), LogError);
  gate.open();
  log.close();
  EXPECT_EQ(instance.read().size(), 11u);
}

TEST(AuditLog, RefusesWhenTheQueueHoldsTooMuch) {
  const Instance instance;
  LogOptions options;
  options.max_queued_bytes = 100'000;
  Log log(instance.places(), options);
  Gate gate;
  log.append(Instance::record(0), [&](std::exception_ptr, const Committed&) { gate.pass(); });
  gate.wait_until_reached();
  Record large = Instance::record(1);
  large.payload["text"] = std::string(60'000, 'x');
  log.append(large, nullptr);
  EXPECT_THROW(log.append(large, nullptr), LogError);
  gate.open();
}

TEST(AuditLog, StopsWhenTheSealIsReplaced) {
  const Instance instance;
  Log log(instance.places());
  log.append_and_wait(Instance::record(1));
  const std::string seal = read_file(instance.places().seal_file(), 1u << 20);
  write_file_atomically(instance.places().seal_file(), seal, 0600);
  EXPECT_THROW(log.append_and_wait(Instance::record(2)), LogError);
  EXPECT_THROW(log.append_and_wait(Instance::record(3)), LogError);
  EXPECT_NE(log.failure().find("replaced"), std::string::npos);
}

TEST(AuditLog, RepairsASealThatWasTorn) {
  Instance instance;
  instance.fill(3);
  const std::string path = instance.places().seal_file();
  {
    // The slot after the newest seal, half written.
    std::string seal = read_file(path, 1u << 20);
    const std::size_t newest = seal.find("\"seq\":3") / kSealBlock;
    const std::size_t torn = (newest + 1) % kSealSlots * kSealBlock;
    seal.replace(torn, 40, std::string(40, 'x'));
    write_file_atomically(path, seal, 0600);
  }
  EXPECT_FALSE(instance.verified().ok());
  Log(instance.places()).close();
  EXPECT_TRUE(instance.verified().ok());
  EXPECT_EQ(instance.read().back().kind, "recovery");
}

TEST(AuditLog, RefusesWhatIsNotALog) {
  const Instance instance;
  Log(instance.places()).close();
  for (const char* suffix : {"-wal", "-shm"}) {
    std::filesystem::remove(instance.places().audit_db() + suffix);
  }
  write_file_atomically(instance.places().audit_db(), std::string(8192, 'x'), 0600);
  EXPECT_ANY_THROW(Log(instance.places()));
  EXPECT_THROW(Reader(instance.places().audit_db()), UserError);
  EXPECT_FALSE(instance.verified().ok());
}

}  // namespace
}  // namespace sharkcage::audit
