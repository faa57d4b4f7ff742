// Invariants 1 and 11: nothing runs before its verdict is durable, and no acknowledged record is
// lost.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "common/errors.h"
#include "tests/integration/host.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;

// Keeps everybody else from writing to the log's database as long as it lives.
class WriteLock {
 public:
  explicit WriteLock(const std::string& database) {
    if (sqlite3_open(database.c_str(), &database_) != SQLITE_OK ||
        sqlite3_exec(database_, "PRAGMA busy_timeout = 60000; BEGIN IMMEDIATE", nullptr, nullptr,
                     nullptr) != SQLITE_OK) {
      throw std::runtime_error(sqlite3_errmsg(database_));
    }
  }
  ~WriteLock() { sqlite3_close(database_); }
  WriteLock(const WriteLock&) = delete;
  WriteLock& operator=(const WriteLock&) = delete;

 private:
  sqlite3* database_ = nullptr;
};

// A small file system at `path`, in a mount namespace of this test: nobody else sees it.
class SmallDisk {
 public:
  explicit SmallDisk(std::string path) : path_(std::move(path)) {
    std::filesystem::create_directories(path_);
    if (::unshare(CLONE_NEWNS) != 0) throw_errno("unshare");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      throw_errno("mount", "/");
    if (::mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=16m,mode=700") != 0)
      throw_errno("mount", path_);
  }
  ~SmallDisk() { ::umount2(path_.c_str(), MNT_DETACH); }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  void fill() const {
    const UniqueFd ballast(::open(ballast_file().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    for (std::size_t size = 4096; size > 0; size /= 2) {
      const std::string block(size, 'x');
      while (::write(ballast.get(), block.data(), block.size()) > 0) {
      }
    }
  }
  void empty() const { std::filesystem::remove(ballast_file()); }

 private:
  std::string ballast_file() const { return path_ + "/ballast"; }
  std::string path_;
};

std::vector<Json> verdicts_of(const Instance& instance, const std::string& session) {
  std::vector<Json> out;
  for (auto& record : instance.records("verdict")) {
    if (record.at("session") == session) out.push_back(std::move(record));
  }
  return out;
}

bool is_readable_within(int fd, std::chrono::milliseconds time) {
  pollfd wanted{fd, POLLIN, 0};
  return ::poll(&wanted, 1, static_cast<int>(time.count())) > 0;
}

class Verdicts : public ::testing::Test {
 protected:
  std::string mark() const { return instance_.workspace() + "/mark"; }
  bool ran() const { return std::filesystem::exists(mark()); }

  // The log cannot be written any more: each way to run something is refused, and nothing runs.
  void expect_everything_blocked(Host& host, const std::string& token) {
    EXPECT_NE(instance_.run({"/usr/bin/touch", mark()}).status, 0);
    EXPECT_ANY_THROW(host.authorize("touch " + mark()));
    EXPECT_ANY_THROW({
      const Json prepared = host.prepare(token, "touch " + mark());
      Streams streams;
      host.open(prepared.at("ticket"), streams);
      wait_for(host.client(), "exec.exit");
    });
    EXPECT_FALSE(ran());
    const Output end = instance_.wait_for_end();
    EXPECT_EQ(end.status, 1);
    EXPECT_THAT(end.err, HasSubstr("audit log"));
    EXPECT_EQ(instance_.run({"/usr/bin/touch", mark()}).status, 125);
    EXPECT_FALSE(ran());
  }

  Instance instance_;
};

TEST_F(Verdicts, AreOnDiskBeforeTheAnswer) {
  instance_.start();
  for (int round = 0; round < 5; ++round) {
    const std::string session = "round" + std::to_string(round);
    {
      Host host(instance_, session);
      host.token_for("true");
      ::kill(instance_.supervisor(), SIGKILL);
    }
    instance_.wait_for_end();
    const auto found = verdicts_of(instance_, session);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].at("decision"), "allow");
    EXPECT_EQ(instance_.verify().status, 0);
    instance_.start();
  }
  EXPECT_EQ(instance_.stop().status, 0);
  EXPECT_EQ(instance_.verify().status, 0);
}

TEST_F(Verdicts, AreOnDiskBeforeTheFirstEffect) {
  instance_.start();
  Process client = instance_.spawn("sc", {"run", "--session", "effect", "--", "/bin/sh", "-c",
                                          "echo first effect; sleep 100000"});
  client.wait_for("first effect");
  instance_.kill();
  const auto found = verdicts_of(instance_, "effect");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].at("decision"), "allow");
  EXPECT_EQ(client.finish().status, 125);
}

TEST_F(Verdicts, HoldTheCommandBackUntilTheyAreWritten) {
  instance_.start();
  auto lock = std::make_unique<WriteLock>(instance_.places().audit_db());
  Process client =
      instance_.spawn("sc", {"run", "--", "/bin/sh", "-c", "touch " + mark() + "; echo done"});
  rpc::Client host = instance_.client();
  host.call("status.get", Json::object());  // the hello is through
  host.post("tool.authorize", {{"tool", "exec"},
                               {"params", {{"command", "true"}}},
                               {"session", "none"},
                               {"prompt", false}});
  // Long enough to show that an answer that did not wait would be here.
  EXPECT_FALSE(is_readable_within(host.fd(), std::chrono::seconds(1)));
  EXPECT_FALSE(ran());
  lock.reset();
  EXPECT_EQ(client.finish().out, "done\n");
  EXPECT_TRUE(ran());
  wait_readable(host.fd(), "the verdict");
}

// A command is made ready while its verdict is written.
TEST_F(Verdicts, ThatWereNeverWrittenLeaveNothingExecuted) {
  instance_.start();
  instance_.run({"/bin/true"});
  auto lock = std::make_unique<WriteLock>(instance_.places().audit_db());
  Process client = instance_.spawn(
      "sc", {"run", "--session", "s", "--", "/bin/sh", "-c", "touch " + mark() + "; echo done"});
  const auto is_ready = [&] {
    const Json status = instance_.status();
    for (const Json& sandbox : status.at("sandboxes")) {
      if (sandbox.at("kind") == "warm" && sandbox.at("commands") == 1) return true;
    }
    return false;
  };
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!is_ready()) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  instance_.kill();
  lock.reset();
  EXPECT_NE(client.finish().out, "done\n");
  instance_.start();
  EXPECT_FALSE(ran());
}

TEST_F(Verdicts, BlockWhereTheLogCannotGrow) {
  instance_.start();
  Host host(instance_);
  const std::string token = host.token_for("touch " + mark());
  const rlimit nothing{0, 0};
  ASSERT_EQ(::prlimit(instance_.supervisor(), RLIMIT_FSIZE, &nothing, nullptr), 0);
  expect_everything_blocked(host, token);
  instance_.start();
  EXPECT_EQ(instance_.run({"/bin/echo", "again"}).out, "again\n");
  EXPECT_EQ(instance_.verify().status, 0);
}

TEST_F(Verdicts, BlockWhereTheDiskIsFull) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can mount a small file system";
  const SmallDisk disk(instance_.places().state_dir);
  instance_.start();
  Host host(instance_);
  const std::string token = host.token_for("touch " + mark());
  disk.fill();
  // What was reserved may still take a few records; each of them is durable, so its call may run.
  const std::string long_command(10'000, 's');
  EXPECT_ANY_THROW(for (int i = 0; i < 20'000; ++i) host.authorize(long_command));
  expect_everything_blocked(host, token);
  disk.empty();
  instance_.start();
  EXPECT_EQ(instance_.run({"/bin/echo", "again"}).out, "again\n");
  EXPECT_EQ(instance_.stop().status, 0);
  EXPECT_EQ(instance_.verify().status, 0);
}

TEST_F(Verdicts, BlockWhereTheLogWasTamperedWith) {
  instance_.start();
  instance_.run({"/bin/true"});
  instance_.stop();
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(instance_.places().audit_db().c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "DELETE FROM records WHERE seq = (SELECT max(seq) FROM records)",
                         nullptr, nullptr, nullptr),
            SQLITE_OK)
      << sqlite3_errmsg(database);
  sqlite3_close(database);
  const Output end = instance_.start_in_vain();
  EXPECT_EQ(end.status, 1);
  EXPECT_THAT(end.err, HasSubstr("does not match its seal"));
  EXPECT_EQ(instance_.verify().status, 1);
}

}  // namespace
}  // namespace sharkcage::testing
