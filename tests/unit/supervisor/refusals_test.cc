// What an outcome says of what its sandbox refused.
#include "supervisor/refusals.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace sharkcage {
namespace {

namespace fs = std::filesystem;

class Refusals : public ::testing::Test {
 protected:
  Refusals() {
    std::string path = "/tmp/sharkcage-refusals-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) std::abort();
    base_ = path;
  }
  ~Refusals() override { fs::remove_all(base_); }

  sandbox::Refusal hidden(const std::string& operation, const std::string& path) const {
    sandbox::Refusal refusal;
    refusal.operation = operation;
    refusal.target = path;
    refusal.program = "cat";
    refusal.pid = 3;
    refusal.first_us = 1795000000123456;
    refusal.count = 2;
    refusal.hidden = true;
    return refusal;
  }
  Json told(const std::vector<sandbox::Refusal>& refused, std::uint64_t more = 0) const {
    Json payload = {{"exit", 1}};
    add_refusals(payload, refused, more, policy_, {::geteuid(), ::getegid(), false});
    return payload;
  }

  std::string base_;
  Policy policy_;
};

TEST_F(Refusals, TellWhatIsHiddenAndExistsOutside) {
  std::ofstream(base_ + "/secret") << "x";
  const Json payload = told({hidden("read", base_ + "/secret"), hidden("read", base_ + "/none")});
  ASSERT_EQ(payload.at("refused").size(), 1u) << payload;
  EXPECT_EQ(payload.at("refused")[0], Json({{"operation", "read"},
                                            {"path", base_ + "/secret"},
                                            {"pid", 3},
                                            {"program", "cat"},
                                            {"first", "2026-11-18T11:06:40.123456Z"},
                                            {"count", 2}}))
      << payload;
  EXPECT_FALSE(payload.contains("refused_more"));
}

TEST_F(Refusals, TellAFileThatCouldHaveBeenMade) {
  EXPECT_TRUE(told({hidden("create", base_ + "/new")}).contains("refused"));
  EXPECT_FALSE(told({hidden("create", base_ + "/none/new")}).contains("refused"));
  EXPECT_FALSE(told({hidden("write", base_ + "/new")}).contains("refused"));
  std::ofstream(base_ + "/there") << "x";
  EXPECT_EQ(told({hidden("create", base_ + "/there")}).at("refused")[0].at("operation"), "write");
}

TEST_F(Refusals, LookWhereAGrantIsFromOutside) {
  fs::create_directories(base_ + "/store/skill");
  std::ofstream(base_ + "/store/skill/file") << "x";
  policy_.files.push_back({"/agent", Access::kReadOnly, base_ + "/store/skill"});
  const Json payload = told({hidden("read", "/agent/file"), hidden("read", "/agents/file")});
  ASSERT_EQ(payload.at("refused").size(), 1u) << payload;
  EXPECT_EQ(payload.at("refused")[0].at("path"), "/agent/file");
}

TEST_F(Refusals, LeaveOutQuestionsAboutTheMachine) {
  EXPECT_EQ(told({hidden("read", "/sys/devices/system/cpu/online")}), Json({{"exit", 1}}));
  EXPECT_TRUE(told({hidden("list", "/sys/class")}).contains("refused"));
  sandbox::Refusal refusal = hidden("write", "/proc/3/coredump_filter");
  refusal.hidden = false;
  EXPECT_EQ(told({refusal}), Json({{"exit", 1}}));
  refusal.target = "/proc/sys/kernel/core_pattern";
  EXPECT_TRUE(told({refusal}).contains("refused"));
}

// As mount and df do. To read a disk is another matter.
TEST_F(Refusals, LeaveOutHowTheHostIsLaidOut) {
  std::string disk;
  for (const auto& entry : fs::directory_iterator("/dev")) {
    if (entry.is_block_file()) disk = entry.path();
  }
  std::vector<sandbox::Refusal> looks = {hidden("stat", "/mnt"), hidden("stat", "/root")};
  if (!disk.empty()) looks.push_back(hidden("stat", disk));
  EXPECT_EQ(told(looks), Json({{"exit", 1}}));
  EXPECT_TRUE(told({hidden("list", "/root")}).contains("refused"));
  if (!disk.empty()) {
    EXPECT_TRUE(told({hidden("read", disk)}).contains("refused"));
  }
}

TEST_F(Refusals, SayNothingWhenThereIsNothing) {
  EXPECT_EQ(told({}), Json({{"exit", 1}}));
  EXPECT_EQ(told({hidden("stat", base_ + "/none")}), Json({{"exit", 1}}));
}

// What the sandbox tells of a start is the first missing name on its way.
class Starts : public Refusals {
 protected:
  Starts() {
    fs::create_directories(base_ + "/opt/bin");
    std::ofstream(base_ + "/opt/bin/tool") << "x";
  }
  std::vector<std::string> told_of(std::vector<std::string> paths, const std::string& missing,
                                   std::uint64_t count) const {
    sandbox::Refusal refusal = hidden("execute", missing);
    refusal.start = true;
    refusal.count = count;
    Json payload = Json::object();
    add_refusals(payload, {refusal}, 0, policy_, {::geteuid(), ::getegid(), false},
                 {"execute", std::move(paths)});
    std::vector<std::string> told;
    for (const Json& entry : payload.value("refused", Json::array())) {
      told.push_back(entry.at("path").get<std::string>().substr(base_.size()) + " " +
                     entry.at("program").get<std::string>() + " " + entry.at("count").dump());
    }
    return told;
  }
  using Told = std::vector<std::string>;
};

TEST_F(Starts, NameTheProgram) {
  EXPECT_EQ(told_of({base_ + "/opt/bin/tool"}, base_ + "/opt", 1), Told{"/opt/bin/tool tool 1"});
  EXPECT_EQ(told_of({base_ + "/x/../opt/./bin//tool"}, base_ + "/opt", 1),
            Told{"/opt/./bin//tool tool 1"});
  EXPECT_EQ(told_of({base_ + "/opt/bin/none"}, base_ + "/opt", 1), Told{});
}

// A directory of programs after the other: those that were looked into before one was found.
TEST_F(Starts, NameWhatWasLookedForAndIsThere) {
  const std::string none = base_ + "/opt/none/tool";
  const std::string tool = base_ + "/opt/bin/tool";
  EXPECT_EQ(told_of({none, "/usr/bin/tool", tool}, base_ + "/opt", 2),
            Told{"/opt/bin/tool tool 1"});
  EXPECT_EQ(told_of({none, "/usr/bin/tool", tool}, base_ + "/opt", 1), Told{});
}

TEST_F(Starts, NameTheInterpreterOfAScript) {
  std::ofstream(base_ + "/script") << "#! " << base_ << "/opt/bin/tool -x\n";
  EXPECT_EQ(told_of({base_ + "/script"}, base_ + "/opt", 1), Told{"/opt/bin/tool tool 1"});
}

// More was missed than the start can account for: a process of the command may call itself as ours
// does.
TEST_F(Starts, LoseNothingThatTheyDoNotExplain) {
  EXPECT_EQ(told_of({base_ + "/opt/bin/none"}, base_ + "/opt", 3), Told{"/opt cat 2"});
  EXPECT_EQ(told_of({}, base_ + "/opt", 1), Told{"/opt cat 1"});
}

// What `sc audit --blocked` shows has something in "refused".
TEST_F(Refusals, SayThatSomethingIsNotKnown) {
  Json payload = {{"exit", 0}};
  add_unknown_refusals(payload, "");
  EXPECT_EQ(payload, Json({{"exit", 0}}));
  add_unknown_refusals(payload, "it does not answer");
  EXPECT_EQ(payload.at("refused_unknown"), "it does not answer");
  EXPECT_EQ(payload.at("refused").at(0).at("reason"), "it does not answer");
  EXPECT_EQ(told({hidden("read", base_ + "/none")}, 7).at("refused").at(0).at("operation"),
            "unknown");
}

TEST_F(Refusals, NameEachKindOfObject) {
  sandbox::Refusal refusal = hidden("connect", "192.0.2.1:443");
  refusal.hidden = false;
  EXPECT_EQ(told({refusal}).at("refused")[0].at("address"), "192.0.2.1:443");
  refusal.operation = "system call";
  refusal.target = "ptrace";
  EXPECT_EQ(told({refusal}).at("refused")[0].at("call"), "ptrace");
  refusal.operation = "limit";
  EXPECT_EQ(told({refusal}).at("refused")[0].at("limit"), "ptrace");
  refusal.operation = "rename";
  refusal.target = "/a";
  refusal.to = "/b";
  EXPECT_EQ(told({refusal}).at("refused")[0].at("to"), "/b");
}

TEST_F(Refusals, AreBoundedAndCounted) {
  std::vector<sandbox::Refusal> many;
  for (int i = 0; i < 1000; ++i) {
    many.push_back(hidden("read", "/" + std::string(1000, 'x') + std::to_string(i)));
    many.back().hidden = false;
  }
  const Json payload = told(many, 5);
  EXPECT_LE(dump_json(payload).size(), 48u << 10);
  const std::uint64_t listed = payload.at("refused").size();
  EXPECT_GE(listed, 30u);
  EXPECT_EQ(payload.at("refused_more").get<std::uint64_t>(), 5 + 2 * (1000 - listed));
}

}  // namespace
}  // namespace sharkcage
