#include "audit/query.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <fstream>
#include <set>
#include <thread>

#include "audit/store.h"
#include "common/errors.h"
#include "tests/unit/audit/instance.h"

namespace sharkcage::audit {
namespace {

std::vector<std::uint64_t> places_of(const std::vector<Record>& records) {
  std::vector<std::uint64_t> places;
  for (const Record& record : records) places.push_back(record.seq);
  return places;
}

using Places64 = std::vector<std::uint64_t>;

TEST(AuditQuery, FiltersAndOrders) {
  Instance instance;
  instance.fill(30);
  EXPECT_EQ(instance.read().size(), 30u);
  Query query;
  query.blocked = true;
  EXPECT_EQ(places_of(instance.read(query)), (Places64{10, 20, 30}));
  query.skill = "weather";
  EXPECT_EQ(places_of(instance.read(query)), (Places64{30}));
  query = {};
  query.tool = "exec";
  query.tail = 3;
  EXPECT_EQ(places_of(instance.read(query)), (Places64{26, 28, 30}));
  query.limit = 2;
  EXPECT_EQ(places_of(instance.read(query)), (Places64{26, 28}));
  query = {};
  query.after_seq = 28;
  EXPECT_EQ(places_of(instance.read(query)), (Places64{29, 30}));
  query = {};
  query.session = "other";
  EXPECT_TRUE(instance.read(query).empty());
  query.tail = 3;
  EXPECT_TRUE(instance.read(query).empty());
  query = {};
  query.limit = 0;
  EXPECT_TRUE(instance.read(query).empty());
}

TEST(AuditQuery, BlockedShowsWhatWasRefusedDuringACall) {
  Instance instance;
  {
    Log log(instance.places());
    Record outcome;
    outcome.kind = "outcome";
    outcome.payload = {{"exit", 0}, {"refused", Json::array()}};
    log.append_and_wait(outcome);
    outcome.payload["refused"].push_back({{"path", "/etc/shadow"}});
    log.append_and_wait(outcome);
    outcome.payload = {{"nested", {{"refused", Json::array({1})}}}};
    log.append_and_wait(outcome);
    Record connection;
    connection.kind = "connection";
    connection.decision = "block";
    log.append_and_wait(connection);
  }
  Query query;
  query.blocked = true;
  EXPECT_EQ(places_of(instance.read(query)), (Places64{2, 4}));
  for (const Record& record : instance.read()) {
    EXPECT_EQ(is_blocked(record), record.seq == 2 || record.seq == 4);
  }
  EXPECT_TRUE(instance.verified().ok());
}

TEST(AuditQuery, SinceIsATime) {
  Instance instance;
  instance.fill(3);
  const auto between = std::chrono::system_clock::now();
  instance.fill(2);
  Query query;
  query.since = between;
  EXPECT_EQ(places_of(instance.read(query)), (Places64{4, 5}));
  query.tail = 1;
  EXPECT_EQ(places_of(instance.read(query)), (Places64{5}));
  query.tail.reset();
  query.since = std::chrono::system_clock::now() + std::chrono::hours(1);
  EXPECT_TRUE(instance.read(query).empty());
}

TEST(AuditQuery, ReaderFollowsAWriter) {
  Instance instance;
  Log log(instance.places());
  log.append_and_wait(Instance::record(1));
  Reader reader(instance.places().audit_db());
  reader.changed();
  EXPECT_FALSE(reader.changed());
  log.append_and_wait(Instance::record(2));
  EXPECT_TRUE(reader.changed());
  EXPECT_EQ(reader.last_seq(), 2u);
  Query query;
  query.after_seq = 1;
  EXPECT_EQ(reader.read(query, [](const Record&) { return true; }), 1u);
}

TEST(AuditQuery, VerifiesAndReadsFromAnotherProcessWhileWriting) {
  const Instance instance;
  Log log(instance.places());
  log.append_and_wait(Instance::record(0));
  const pid_t child = ::fork();
  if (child == 0) {
    int status = 0;
    try {
      for (int i = 0; i < 20 && status == 0; ++i) {
        const Verification result = verify(instance.places());
        if (!result.ok()) status = 1;
        std::uint64_t expected = 0;
        Reader(instance.places().audit_db()).read({}, [&](const Record& record) {
          if (record.seq != ++expected) status = 2;
          return status == 0;
        });
      }
    } catch (...) {
      status = 3;
    }
    ::_exit(status);
  }
  int status = 0;
  for (int i = 1; ::waitpid(child, &status, WNOHANG) == 0; ++i) {
    log.append_and_wait(Instance::record(i));
  }
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: verification, 2: order, 3: exception";
}

std::set<std::string> files_in(const std::string& directory) {
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    files.insert(entry.path());
  }
  return files;
}

TEST(AuditQuery, ReaderCreatesNothing) {
  Instance instance;
  EXPECT_THROW(Reader(instance.places().audit_db()), UserError);
  EXPECT_EQ(files_in(instance.places().state_dir + "/audit").size(), 0u);
  instance.fill(3);
  auto before = files_in(instance.root());
  EXPECT_EQ(instance.read().size(), 3u);
  EXPECT_TRUE(instance.verified().ok());
  EXPECT_EQ(files_in(instance.root()), before);

  // A copy of the database alone, e.g. a backup.
  SQLite::Database(instance.places().audit_db(), SQLite::OPEN_READWRITE)
      .exec("PRAGMA wal_checkpoint(TRUNCATE)");
  const std::string copy = instance.root() + "/copy of 100%?#.db";
  std::filesystem::copy_file(instance.places().audit_db(), copy);
  before = files_in(instance.root());
  EXPECT_EQ(Reader(copy).read({}, [](const Record&) { return true; }), 3u);
  EXPECT_EQ(files_in(instance.root()), before);
}

TEST(AuditQuery, ReaderNeedsNoWriteAccess) {
  Instance instance;
  instance.fill(3);
  const std::string directory = instance.places().state_dir + "/audit";
  const pid_t child = ::fork();
  if (child == 0) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(instance.root())) {
      ::chmod(entry.path().c_str(), entry.is_directory() ? 0555 : 0444);
    }
    ::chmod(instance.root().c_str(), 0555);
    // Root is asked for nothing, so it becomes somebody else: the traditional "nobody".
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(2);
    try {
      Reader reader(instance.places().audit_db());
      const auto count = reader.read({}, [](const Record&) { return true; });
      ::_exit(count == 3 ? 0 : 3);
    } catch (...) {
      ::_exit(1);
    }
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(instance.root())) {
    ::chmod(entry.path().c_str(), 0700);
  }
  ::chmod(instance.root().c_str(), 0700);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(AuditQuery, BlockedUsesItsIndexWithoutSorting) {
  Instance instance;
  instance.fill(10);
  const auto database = open_readable(instance.places().audit_db());
  Cursor plan(*database, std::string("EXPLAIN QUERY PLAN SELECT ") + kColumns +
                             " FROM records INDEXED BY records_blocked WHERE seq > 0 AND " +
                             kBlockedCondition + " ORDER BY seq DESC LIMIT 10");
  std::string steps;
  while (plan.step()) steps += std::string(plan.text(3)) + "\n";
  EXPECT_NE(steps.find("records_blocked"), std::string::npos) << steps;
  EXPECT_EQ(steps.find("TEMP B-TREE"), std::string::npos) << steps;
}

// Bytes that this process has read from files so far (proc_pid_io(5)).
std::uint64_t bytes_read() {
  std::ifstream file("/proc/self/io");
  std::string name;
  std::uint64_t bytes = 0;
  file >> name >> bytes;
  return name == "rchar:" ? bytes : 0;
}

TEST(AuditQuery, TheNewestAreFoundWithoutReadingTheOthers) {
  Instance instance;
  instance.fill(6000);
  Query query;
  const std::uint64_t before_all = bytes_read();
  ASSERT_EQ(instance.read(query).size(), 6000u);
  const std::uint64_t all = bytes_read() - before_all;
  ASSERT_GT(all, 1'000'000u);
  query.tail = 2;
  for (const std::uint64_t after : {0u, 100u}) {
    query.after_seq = after;
    const std::uint64_t before = bytes_read();
    EXPECT_EQ(places_of(instance.read(query)), (Places64{5999, 6000}));
    EXPECT_LT(bytes_read() - before, all / 10);
  }
}

TEST(AuditQuery, PayloadThatWasBrokenIsShownAsSuch) {
  Instance instance;
  instance.fill(2);
  // An update would run the index's JSON functions and fail; a forger can go around them.
  instance.tamper("DROP INDEX records_blocked; UPDATE records SET payload = '{\"a' WHERE seq = 1");
  const auto records = instance.read();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].payload["unreadable"], "{\"a");
  EXPECT_FALSE(instance.verified().ok());
}

}  // namespace
}  // namespace sharkcage::audit
