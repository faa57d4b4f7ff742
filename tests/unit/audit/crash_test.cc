// Invariants 1 and 11: what was acknowledged is there, and what cannot be written is refused.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <atomic>
#include <random>
#include <thread>

#include "common/fd.h"
#include "tests/unit/audit/instance.h"

namespace sharkcage::audit {
namespace {

// Appends from four threads until it is killed, and tells the pipe each acknowledged record.
[[noreturn]] void append_forever(const Places& places, int acknowledged) {
  try {
    Log log(places);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0;; ++i) {
          const Committed at = log.append_and_wait(Instance::record(i));
          const std::string line = std::to_string(at.seq) + ":" + at.hash + "\n";
          if (::write(acknowledged, line.data(), line.size()) < 0) ::_exit(1);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  } catch (...) {
  }
  ::_exit(1);
}

// Reads from the pipe until `enough` records were acknowledged, kills, and reads the rest.
std::vector<Head> kill_after(pid_t child, int pipe, std::size_t enough) {
  std::string text;
  std::size_t lines = 0;
  bool killed = false;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = ::read(pipe, buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<std::size_t>(got));
    lines += static_cast<std::size_t>(std::count(buffer, buffer + got, '\n'));
    if (lines >= enough && !killed) {
      ::kill(child, SIGKILL);
      killed = true;
    }
  }
  std::vector<Head> heads;
  for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos;
       at = end + 1) {
    heads.push_back(parse_head(std::string_view(text).substr(at, end - at)));
  }
  return heads;
}

TEST(AuditCrash, NothingAcknowledgedIsLostWhenTheWriterIsKilled) {
  Instance instance;
  std::size_t enough = 1;
  for (int round = 0; round < 12; ++round, enough = enough * 2 % 701 + 1) {
    auto [read_end, write_end] = make_pipe();
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) append_forever(instance.places(), write_end.get());
    write_end.reset();
    const std::vector<Head> heads = kill_after(child, read_end.get(), enough);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer failed";
    ASSERT_GE(heads.size(), enough);

    const std::vector<Record> records = instance.read();
    for (const Head& head : heads) {
      ASSERT_LE(head.seq, records.size());
      ASSERT_EQ(records[head.seq - 1].hash, head.hash);
    }
    // What is beyond the seal was never acknowledged.
    const Verification result = instance.verified();
    for (const Finding& finding : result.findings) {
      ASSERT_EQ(finding.fault, Fault::kUnsealedTail) << finding.what;
      for (const Head& head : heads) ASSERT_LT(head.seq, finding.seq);
    }
    Log(instance.places()).close();
    ASSERT_TRUE(instance.verified().ok());
  }
}

// Appends until one is refused, and checks what a full disk must not do.
void expect_fails_closed(const Instance& instance, Log& log, std::uint64_t at_most) {
  Record record = Instance::record(1);
  std::string noise;
  std::mt19937_64 random(1);
  while (noise.size() < 40'000) noise += std::to_string(random());
  record.payload["text"] = noise;
  std::vector<Committed> acknowledged;
  std::string refusal;
  while (refusal.empty() && acknowledged.size() < at_most) {
    try {
      acknowledged.push_back(log.append_and_wait(record));
    } catch (const LogError& error) {
      refusal = error.what();
    }
  }
  ASSERT_FALSE(refusal.empty());
  EXPECT_NE(refusal.find("cannot be written"), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("restart"), std::string::npos) << refusal;
  EXPECT_EQ(log.failure(), refusal);
  EXPECT_THROW(log.append_and_wait(Instance::record(1)), LogError);  // also where it would fit
  log.close();
  const std::vector<Record> records = instance.read();
  for (const Committed& committed : acknowledged) {
    ASSERT_LE(committed.seq, records.size());
    EXPECT_EQ(records[committed.seq - 1].hash, committed.hash);
  }
}

TEST(AuditCrash, FullDiskRefusesAndLosesNothing) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can mount a small file system";
  const Instance parent;
  const std::string disk = parent.root() + "/disk";
  std::filesystem::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=2m,mode=0700") != 0) {
    GTEST_SKIP() << "mount is not permitted here";
  }
  {
    const Instance instance(disk + "/instance");
    Log log(instance.places());
    expect_fails_closed(instance, log, 1000);
    // Space again: a new opening goes on.
    ASSERT_EQ(::mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=16m,mode=0700"), 0);
    Log again(instance.places());
    again.append_and_wait(Instance::record(1));
    again.close();
    EXPECT_TRUE(instance.verified().ok());
  }
  ::umount2(disk.c_str(), MNT_DETACH);
}

// In a child: the limit holds for the whole process.
TEST(AuditCrash, FileSizeLimitRefusesAndLosesNothing) {
  const Instance instance;
  const pid_t child = ::fork();
  if (child == 0) {
    // No handler, no SIG_IGN: the writer itself must survive SIGXFSZ.
    const rlimit limit{1u << 20, 1u << 20};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      Log log(instance.places());
      expect_fails_closed(instance, log, 1000);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(1);
    }
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  Log log(instance.places());
  log.append_and_wait(Instance::record(1));
  log.close();
  EXPECT_TRUE(instance.verified().ok());
}

TEST(AuditCrash, EveryWaitingCallerIsTold) {
  const Instance instance;
  std::atomic<int> told = 0;
  std::atomic<int> written = 0;
  int taken = 0;
  Log log(instance.places());
  log.append_and_wait(Instance::record(1));
  std::filesystem::rename(instance.places().seal_file(), instance.places().seal_file() + ".away");
  for (int i = 0; i < 1000; ++i) {
    try {
      log.append(Instance::record(i),
                 [&](std::exception_ptr error, const Committed&) { error ? ++told : ++written; });
      ++taken;
    } catch (const LogError&) {
    }
  }
  log.close();
  EXPECT_EQ(told, taken);
  EXPECT_GT(told, 0);
  EXPECT_EQ(written, 0);
}

}  // namespace
}  // namespace sharkcage::audit
