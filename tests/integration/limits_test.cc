// Limits, as the person meets them: what sc run says, what the record says, and who else notices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "common/machine.h"
#include "tests/integration/host.h"
#include "tests/integration/instance.h"

namespace sharkcage::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr int kKilled = 128 + SIGKILL;

class LimitsOfACall : public ::testing::Test {
 protected:
  void start(const Json& limits) {
    instance_.configure(Json{{"limits", limits}}.dump());
    instance_.start();
  }
  Output python(const std::string& script) const {
    return instance_.run({"python3", "-c", script});
  }
  // What the last outcome says of `limit`; null when it says nothing.
  Json recorded(const std::string& limit) const {
    const auto outcomes = instance_.records("outcome");
    if (outcomes.empty()) return nullptr;
    for (const Json& refused : outcomes.back().at("payload").value("refused", Json::array())) {
      if (refused.value("operation", "") == "limit" && refused.value("limit", "") == limit) {
        return refused;
      }
    }
    return nullptr;
  }
  std::string reason() const {
    const auto outcomes = instance_.records("outcome");
    return outcomes.empty() ? "none" : outcomes.back().at("reason").get<std::string>();
  }
  void expect_ended(const Output& output, const std::string& limit, const std::string& words) {
    EXPECT_EQ(output.status, kKilled) << output.err;
    EXPECT_THAT(output.err, HasSubstr(words));
    EXPECT_EQ(reason(), limit);
    const Json record = recorded(limit);
    ASSERT_TRUE(record.is_object()) << instance_.records("outcome").back().dump();
    EXPECT_GE(record.at("count"), 1);
    EXPECT_THAT(record.at("first").get<std::string>(), ::testing::EndsWith("Z"));
    EXPECT_EQ(instance_.blocked().size(), 1u);
  }
  Instance instance_;
};

TEST_F(LimitsOfACall, MemoryIsToldAndRecorded) {
  start({{"memory", "100M"}});
  expect_ended(python("a = []\nwhile True: a.append(bytearray(1 << 20))"), "memory",
               "it needed more memory than its limit of 100 MiB");
}

TEST_F(LimitsOfACall, ProcessesAreToldAndRecorded) {
  start({{"pids", 20}, {"wall", "40s"}});
  expect_ended(python("import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"), "pids",
               "beyond its limit of 20 processes");
}

TEST_F(LimitsOfACall, OutputIsToldAndRecorded) {
  start({{"output", "1M"}});
  const Output output = instance_.run({"yes"});
  expect_ended(output, "output", "it wrote more than its limit of 1 MiB of output");
  EXPECT_EQ(output.out.size(), 1u << 20);
}

TEST_F(LimitsOfACall, TimeIsToldAndRecordedThoughTheCommandIgnoresSignals) {
  start({{"wall", "500ms"}});
  const Output output =
      instance_.run({"/bin/sh", "-c", "trap '' TERM INT HUP; while :; do :; done"});
  EXPECT_EQ(output.status, 124);
  EXPECT_THAT(output.err, HasSubstr("its time limit of 500 milliseconds"));
  EXPECT_EQ(reason(), "wall");
  EXPECT_TRUE(recorded("wall").is_object());
}

TEST_F(LimitsOfACall, FileSizeIsToldAndRecorded) {
  start({{"file_size", "1M"}});
  const Output output = instance_.run({"dd", "if=/dev/zero", "of=big", "bs=64k", "count=100"});
  EXPECT_EQ(output.status, 128 + SIGXFSZ);
  EXPECT_THAT(output.err, HasSubstr("its limit of 1 MiB a file"));
  EXPECT_TRUE(recorded("file size").is_object());
}

TEST_F(LimitsOfACall, OthersGoOnBesideABomb) {
  start({{"pids", 40}, {"cpus", 1}, {"wall", "40s"}});
  Process bomb = instance_.spawn("sc", {"run", "--", "python3", "-c",
                                        "import os\nprint('up', flush=True)\nwhile True:\n"
                                        "  try: os.fork()\n  except OSError: pass"});
  bomb.wait_for("up");
  const Output other = instance_.run({"echo", "still here"});
  EXPECT_EQ(other.out, "still here\n") << other.err;
  EXPECT_EQ(bomb.finish().status, kKilled);
}

// What kept commands of a session that have ended takes nothing from those that come.
TEST_F(LimitsOfACall, ProcessesAreAsManyAfterManyCommandsAtOnce) {
  start({{"pids", 24}});
  std::vector<Process> many;
  for (int i = 0; i < 12; ++i) {
    many.push_back(instance_.spawn("sc", {"run", "--session", "s", "--", "cat"}));
    many.back().write("up\n");
  }
  for (Process& one : many) one.wait_for("up");
  for (Process& one : many) EXPECT_EQ(one.finish().status, 0);
  const Output output = instance_.sc({"run", "--session", "s", "--", "python3", "-c",
                                      "import os, signal\nfor i in range(23):\n"
                                      "  if os.fork() == 0: signal.pause()\nprint('all')\n"});
  EXPECT_EQ(output.out, "all\n") << output.err;
}

TEST_F(LimitsOfACall, AManifestOnlyLowersThemAndIsToldAsItHolds) {
  start({{"memory", "512M"}, {"pids", 64}});
  const std::string folder = instance_.write_skill(
      "greedy", Json::array({{{"capability", "system.exec"}, {"reason", "test"}}}));
  Json manifest = Json::parse(read_file(folder + "/sharkcage.json", 1 << 16));
  manifest["limits"] = {{"memory", "64G"}, {"pids", 40}};
  write_text(folder + "/sharkcage.json", manifest.dump());
  ASSERT_EQ(instance_.sc({"skill", "add", folder}).status, 0);
  const Output approved = instance_.sc({"approve", "greedy", "--yes"});
  EXPECT_THAT(approved.out,
              HasSubstr("Held to 512 MiB of memory (it asks for 64 GiB), 40 processes."));
  const Output bomb = instance_.sc({"run", "--skill", "greedy", "--", "python3", "-c",
                                    "a = []\nwhile True: a.append(bytearray(1 << 20))"});
  EXPECT_THAT(bomb.err, HasSubstr("512 MiB"));
}

TEST_F(LimitsOfACall, AreAtMostWhatTheMachineHas) {
  start({{"memory", "8000G"}, {"cpus", 4000}, {"pids", 1000000000}});
  const std::string folder = instance_.write_skill("asks", Json::array());
  Json manifest = Json::parse(read_file(folder + "/sharkcage.json", 1 << 16));
  manifest["limits"] = {{"cpus", 3000}};
  write_text(folder + "/sharkcage.json", manifest.dump());
  ASSERT_EQ(instance_.sc({"skill", "add", folder}).status, 0);
  EXPECT_THAT(instance_.sc({"skill", "show", "asks"}).out,
              HasSubstr("Held to " + processors_in_words(this_machine().processors) +
                        " (it asks for 3000 processors)"));
  EXPECT_EQ(instance_.run({"/bin/true"}).status, 0);
}

TEST_F(LimitsOfACall, DoctorSaysWhatHoldsThem) {
  start(Json::object());
  const Output doctor = instance_.sc({"doctor"});
  for (const char* name : {"memory limit", "process limit", "processor limit"}) {
    EXPECT_THAT(doctor.out, HasSubstr(name));
  }
}

// A host that passes one pipe for both streams sees them in the order in which they were written.
TEST_F(LimitsOfACall, OutputStaysInOrderWhereBothStreamsAreOne) {
  start(Json::object());
  const Output output =
      instance_.spawn("sc", {"run", "--", "/bin/sh", "-c", "exec 2>&1; echo"}).finish();
  EXPECT_EQ(output.status, 0);
  rpc::Client client = instance_.client();
  Streams streams;
  streams.command_err.reset(::dup(streams.command_out.get()));
  exec_run(client, instance_,
           {"/bin/sh", "-c",
            "i=0; while [ $i -lt 200 ]; do echo o$i; echo e$i >&2; i=$((i+1)); "
            "done"},
           streams);
  streams.let_go();
  std::string wanted;
  for (int i = 0; i < 200; ++i) {
    wanted += "o" + std::to_string(i) + "\ne" + std::to_string(i) + "\n";
  }
  EXPECT_EQ(streams.read_out(), wanted);
}

// Whoever waits for a command's end before reading, as with a process of its own.
TEST_F(LimitsOfACall, OutputOfAPipesSizeNeedsNoReaderBeforeTheEnd) {
  start(Json::object());
  rpc::Client client = instance_.client();
  Streams streams;
  exec_run(client, instance_,
           {"/bin/sh", "-c", "i=0; while [ $i -lt 6000 ]; do echo line$i; i=$((i+1)); done"},
           streams);
  streams.let_go();
  EXPECT_EQ(wait_for(client, "exec.exit").value("exit", -1), 0);
  const std::string out = streams.read_out();
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 6000);
}

TEST_F(LimitsOfACall, OutputEndsWithItsReader) {
  start(Json::object());
  rpc::Client client = instance_.client();
  Streams streams;
  exec_run(client, instance_, {"yes"}, streams);
  streams.let_go();
  wait_for(client, "exec.started");
  streams.out.reset();
  EXPECT_EQ(wait_for(client, "exec.exit").value("signal", 0), SIGPIPE);
}

}  // namespace
}  // namespace sharkcage::testing
