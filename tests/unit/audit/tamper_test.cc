// Invariant 9: whatever is done to the files without the key is found, and named.
#include <gtest/gtest.h>

#include <fstream>

#include "audit/keys.h"
#include "audit/row.h"
#include "audit/seal.h"
#include "common/errors.h"
#include "common/fd.h"
#include "tests/unit/audit/instance.h"

namespace sharkcage::audit {
namespace {

// Recomputes hashes of records `from` … end, as a forger without the key can.
void rechain(const Instance& instance, std::int64_t from) {
  SQLite::Database database(instance.places().audit_db(), SQLite::OPEN_READWRITE);
  std::string previous(kNoHash);
  std::vector<std::pair<std::int64_t, std::pair<std::string, std::string>>> changes;
  Reader(instance.places().audit_db()).read({}, [&](const Record& read) {
    Record record = read;
    if (static_cast<std::int64_t>(record.seq) >= from) {
      record.prev_hash = previous;
      record.hash = hash_of(record);
      changes.push_back({static_cast<std::int64_t>(record.seq), {record.prev_hash, record.hash}});
    }
    previous = record.hash;
    return true;
  });
  for (const auto& [seq, hashes] : changes) {
    SQLite::Statement update(database, "UPDATE records SET prev_hash = ?, hash = ? WHERE seq = ?");
    update.bind(1, hashes.first);
    update.bind(2, hashes.second);
    update.bind(3, seq);
    update.exec();
  }
}

void append_forged(const Instance& instance, int count) {
  const std::vector<Record> records = instance.read();
  Record last = records.back();
  SQLite::Database database(instance.places().audit_db(), SQLite::OPEN_READWRITE);
  for (int i = 0; i < count; ++i) {
    Record next = last;
    next.seq = last.seq + 1;
    next.prev_hash = last.hash;
    next.hash = hash_of(next);
    SQLite::Statement insert(
        database,
        "INSERT INTO records SELECT seq + 1, version, time, kind, session, agent, "
        "skill, tool, call, decision, reason, policy, payload, hash, ? "
        "FROM records WHERE seq = ?");
    insert.bind(1, next.hash);
    insert.bind(2, static_cast<std::int64_t>(last.seq));
    insert.exec();
    last = next;
  }
}

void expect_fault(const Instance& instance, Fault fault, std::uint64_t seq) {
  const Verification result = instance.verified();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(name_of(result.findings[0].fault), name_of(fault)) << result.findings[0].what;
  EXPECT_EQ(result.findings[0].seq, seq) << result.findings[0].what;
}

TEST(AuditVerify, AcceptsWhatTheLogWrote) {
  Instance instance;
  instance.fill(100);
  const Verification result = instance.verified();
  EXPECT_TRUE(result.ok()) << result.to_json().dump();
  EXPECT_EQ(result.records, 100u);
  EXPECT_EQ(result.head.seq, 100u);
  EXPECT_EQ(result.sealed, result.head);
}

TEST(AuditVerify, AcceptsAnEmptyLog) {
  Instance instance;
  instance.fill(0);
  EXPECT_TRUE(instance.verified().ok());
}

TEST(AuditVerify, FindsAnEditOfAnyColumn) {
  for (const std::string name :
       {"version", "time", "kind", "session", "agent", "skill", "tool", "call", "decision",
        "reason", "policy", "payload", "prev_hash", "hash"}) {
    SCOPED_TRACE(name);
    Instance instance;
    instance.fill(20);
    const std::string value = name == "version"   ? "2"
                              : name == "payload" ? "'{\"n\":8}'"
                                                  : "'" + std::string(64, 'b') + "'";
    instance.tamper("UPDATE records SET " + name + " = " + value + " WHERE seq = 7");
    expect_fault(instance, Fault::kEdited, 7);
  }
}

TEST(AuditVerify, FindsAnEditWhoseHashWasRecomputed) {
  Instance instance;
  instance.fill(20);
  instance.tamper("UPDATE records SET decision = 'allow' WHERE seq = 10");
  Record forged = instance.read().at(9);
  instance.tamper("UPDATE records SET hash = '" + hash_of(forged) + "' WHERE seq = 10");
  expect_fault(instance, Fault::kEdited, 10);
}

TEST(AuditVerify, FindsADeletion) {
  Instance instance;
  instance.fill(20);
  instance.tamper("DELETE FROM records WHERE seq BETWEEN 5 AND 6");
  expect_fault(instance, Fault::kDeleted, 5);
}

TEST(AuditVerify, FindsADeletionAtTheStart) {
  Instance instance;
  instance.fill(20);
  instance.tamper("DELETE FROM records WHERE seq = 1");
  expect_fault(instance, Fault::kDeleted, 1);
}

TEST(AuditVerify, FindsADeletionThatWasRenumbered) {
  Instance instance;
  instance.fill(20);
  instance.tamper("DELETE FROM records WHERE seq = 5");
  for (int seq = 6; seq <= 20; ++seq) {
    instance.tamper("UPDATE records SET seq = seq - 1 WHERE seq = " + std::to_string(seq));
  }
  expect_fault(instance, Fault::kDeleted, 5);
}

void make_room_at(const Instance& instance, int seq, int last) {
  for (int i = last; i >= seq; --i) {
    instance.tamper("UPDATE records SET seq = seq + 1 WHERE seq = " + std::to_string(i));
  }
}

constexpr char kCopy[] =
    "INSERT INTO records SELECT 9, version, time, kind, session, agent, skill, tool, 'forged', "
    "decision, reason, policy, payload, prev_hash, hash FROM records WHERE seq = 8";

TEST(AuditVerify, FindsAnInsertion) {
  Instance instance;
  instance.fill(20);
  make_room_at(instance, 9, 20);
  instance.tamper(kCopy);
  expect_fault(instance, Fault::kInserted, 9);
}

TEST(AuditVerify, FindsAnInsertionThatWasHashed) {
  Instance instance;
  instance.fill(20);
  make_room_at(instance, 9, 20);
  instance.tamper(kCopy);
  Record forged = instance.read().at(8);
  forged.prev_hash = instance.read().at(7).hash;
  instance.tamper("UPDATE records SET prev_hash = '" + forged.prev_hash + "', hash = '" +
                  hash_of(forged) + "' WHERE seq = 9");
  expect_fault(instance, Fault::kInserted, 9);
}

TEST(AuditVerify, FindsARecordBelowTheFirst) {
  Instance instance;
  instance.fill(20);
  instance.tamper(
      "INSERT INTO records SELECT -3, version, time, kind, session, agent, skill, tool, "
      "call, decision, reason, policy, payload, prev_hash, hash FROM records WHERE seq = 8");
  expect_fault(instance, Fault::kInserted, 0);
}

TEST(AuditVerify, FindsTwoRecordsSwapped) {
  Instance instance;
  instance.fill(20);
  instance.tamper(
      "UPDATE records SET seq = 1000 WHERE seq = 5; "
      "UPDATE records SET seq = 5 WHERE seq = 12; "
      "UPDATE records SET seq = 12 WHERE seq = 1000");
  expect_fault(instance, Fault::kReordered, 5);
}

TEST(AuditVerify, FindsATruncation) {
  Instance instance;
  instance.fill(20);
  instance.tamper("DELETE FROM records WHERE seq > 15");
  expect_fault(instance, Fault::kTruncated, 16);
  EXPECT_THROW(Log(instance.places()), UserError);
}

TEST(AuditVerify, FindsThatEverythingIsGone) {
  Instance instance;
  instance.fill(20);
  instance.tamper("DELETE FROM records");
  expect_fault(instance, Fault::kTruncated, 1);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(instance.places().audit_db() + suffix);
  }
  expect_fault(instance, Fault::kTruncated, 1);
  EXPECT_THROW(Log(instance.places()), UserError);
}

TEST(AuditVerify, FindsAChainRewrittenWithoutTheKey) {
  Instance instance;
  instance.fill(20);
  instance.tamper("UPDATE records SET decision = 'allow' WHERE seq = 10");
  rechain(instance, 10);
  expect_fault(instance, Fault::kRewritten, 20);
  EXPECT_THROW(Log(instance.places()), UserError);
}

TEST(AuditVerify, FindsAnOldSealPutBack) {
  Instance instance;
  instance.fill(20);
  const std::string seal = read_file(instance.places().seal_file(), 1u << 20);
  instance.fill(20);
  write_file_atomically(instance.places().seal_file(), seal, 0600);
  expect_fault(instance, Fault::kUnsealedTail, 21);
}

TEST(AuditVerify, FindsASealOfAnotherKey) {
  Instance instance;
  Instance other;
  instance.fill(20);
  other.fill(20);
  SealFile::create(instance.places().seal_file(), Key::load_private(other.places().key_file()),
                   instance.verified().head);
  expect_fault(instance, Fault::kBadSignature, 0);
  EXPECT_THROW(Log(instance.places()), UserError);
}

TEST(AuditVerify, FindsAPublicKeyThatWasReplaced) {
  Instance instance;
  Instance other;
  instance.fill(20);
  other.fill(1);
  std::filesystem::copy_file(public_key_file(other.places().key_file()),
                             public_key_file(instance.places().key_file()),
                             std::filesystem::copy_options::overwrite_existing);
  expect_fault(instance, Fault::kBadSignature, 0);
}

TEST(AuditVerify, FindsAnEditedSeal) {
  Instance instance;
  instance.fill(20);
  std::string seal = read_file(instance.places().seal_file(), 1u << 20);
  for (std::size_t at = seal.find("\"seq\":20"); at != std::string::npos;
       at = seal.find("\"seq\":20", at + 1)) {
    seal.replace(at, 8, "\"seq\":19");
  }
  write_file_atomically(instance.places().seal_file(), seal, 0600);
  const Verification result = instance.verified();
  ASSERT_FALSE(result.ok());
  EXPECT_TRUE(
      std::any_of(result.findings.begin(), result.findings.end(),
                  [](const Finding& finding) { return finding.fault == Fault::kBadSignature; }));
}

TEST(AuditVerify, FindsAMissingSeal) {
  Instance instance;
  instance.fill(20);
  std::filesystem::remove(instance.places().seal_file());
  expect_fault(instance, Fault::kNoSeal, 0);
  EXPECT_THROW(Log(instance.places()), UserError);
}

TEST(AuditVerify, FindsForgedRecordsAfterTheSeal) {
  Instance instance;
  instance.fill(20);
  append_forged(instance, 2);
  expect_fault(instance, Fault::kUnsealedTail, 21);
}

TEST(AuditVerify, ForgedRecordsNeverPassAsSealedHistory) {
  Instance instance;
  instance.fill(20);
  append_forged(instance, 2);
  {
    Log log(instance.places());
    EXPECT_EQ(log.opening().unsealed, 2u);
    log.append_and_wait(Instance::record(1));
  }
  const std::vector<Record> records = instance.read();
  ASSERT_EQ(records.size(), 24u);
  EXPECT_EQ(records[22].kind, "recovery");
  EXPECT_EQ(records[22].payload["first"], 21);
  EXPECT_EQ(records[22].payload["last"], 22);
  const Verification result = instance.verified();
  EXPECT_TRUE(result.ok());
  ASSERT_EQ(result.recovered.size(), 1u);
  EXPECT_EQ(result.recovered[0].first, 21u);
  EXPECT_EQ(result.recovered[0].last, 22u);
  EXPECT_EQ(result.recovered[0].recorded_in, 23u);
}

TEST(AuditVerify, UnchainedRecordsAfterTheSealAreNotContinued) {
  Instance instance;
  instance.fill(20);
  append_forged(instance, 2);
  instance.tamper("UPDATE records SET reason = 'x' WHERE seq = 21");
  EXPECT_THROW(Log(instance.places()), UserError);
}

TEST(AuditVerify, HoldsAKeptHeadAgainstTheLog) {
  Instance instance;
  instance.fill(20);
  VerifyOptions options;
  options.head = Head{10, instance.read().at(9).hash};
  EXPECT_TRUE(verify(instance.places(), options).ok());
  options.head->hash = std::string(64, '1');
  EXPECT_EQ(verify(instance.places(), options).findings.at(0).fault, Fault::kRewritten);
  options.head->seq = 21;
  EXPECT_EQ(verify(instance.places(), options).findings.at(0).fault, Fault::kTruncated);
}

TEST(AuditVerify, FindsARecordHiddenFromTheIndex) {
  Instance instance;
  instance.fill(20);
  instance.tamper(
      "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = "
      "replace(sql, '= ''block''', '= ''never''') WHERE name = 'records_blocked'; "
      "PRAGMA writable_schema = RESET; REINDEX records_blocked");
  expect_fault(instance, Fault::kDamaged, 0);
  instance.tamper(
      "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = "
      "replace(sql, '= ''never''', '= ''block''') WHERE name = 'records_blocked'");
  expect_fault(instance, Fault::kDamaged, 0);
}

TEST(AuditVerify, FindsATrigger) {
  Instance instance;
  instance.fill(3);
  instance.tamper(
      "CREATE TRIGGER hide AFTER INSERT ON records BEGIN DELETE FROM records WHERE "
      "seq = new.seq; END");
  expect_fault(instance, Fault::kDamaged, 0);
  EXPECT_THROW(Log(instance.places()), UserError);
}

TEST(AuditVerify, ReportsADamagedFile) {
  Instance instance;
  instance.fill(2000);
  SQLite::Database(instance.places().audit_db(), SQLite::OPEN_READWRITE)
      .exec("PRAGMA wal_checkpoint(TRUNCATE)");
  {
    std::fstream file(instance.places().audit_db(),
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(8192);
    file << std::string(200'000, 'Z');
  }
  EXPECT_FALSE(instance.verified().ok());
}

TEST(AuditVerify, SaysWhatToDoWithoutALog) {
  const Instance instance;
  EXPECT_THROW(
      {
        try {
          instance.verified();
        } catch (const UserError& error) {
          EXPECT_NE(error.full().find("sc start"), std::string::npos);
          throw;
        }
      },
      UserError);
  EXPECT_TRUE(std::filesystem::is_empty(instance.places().state_dir + "/audit"));
}

TEST(AuditVerify, ReportsProgressAndAgreesForAnyNumberOfThreads) {
  Instance instance;
  instance.fill(40'000);
  for (const unsigned threads : {1u, 2u, 5u}) {
    VerifyOptions options;
    options.threads = threads;
    std::uint64_t calls = 0;
    options.progress = [&](std::uint64_t done, std::uint64_t all) {
      ++calls;
      EXPECT_LE(done, all);
    };
    const Verification result = verify(instance.places(), options);
    EXPECT_TRUE(result.ok());
    EXPECT_EQ(result.records, 40'000u);
    EXPECT_GT(calls, 0u);
  }
  instance.tamper("UPDATE records SET reason = 'x' WHERE seq = 16385");
  expect_fault(instance, Fault::kEdited, 16385);
}

}  // namespace
}  // namespace sharkcage::audit
