// Starts, stops and deaths: whatever ends, the calls end with it, and the log says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>

#include "common/errors.h"
#include "common/hash.h"
#include "tests/integration/host.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;

// A command in a sandbox that runs until something ends it: `sc run` of a shell and two children in
// the background, all of which carry a marker that is found in /proc.
class LongCall {
 public:
  explicit LongCall(const Instance& instance)
      : marker_("marker" + random_hex(8)),
        client_(instance.spawn(
            "sc", {"run", "--", "/bin/sh", "-c",
                   "sleep 100000 & setsid sleep 100000 & echo running; wait # " + marker_})) {
    client_.wait_for("running");
    inside_ = processes_with(marker_, "sc");
    if (inside_.empty()) throw std::runtime_error("the command is not found in /proc");
    // The monitor and PID 1 are above it, its children below.
    std::vector<pid_t> family = inside_;
    for (std::size_t i = 0; i < family.size(); ++i) {
      for (const pid_t child : children_of(family[i])) family.push_back(child);
    }
    inside_ = family;
  }

  std::size_t size() const { return inside_.size(); }
  Output finish() { return client_.finish(); }
  Process& client() { return client_; }

  // Waits until every process that was inside is gone.
  void expect_gone() const {
    for (const pid_t pid : inside_) wait_until_gone(pid);
    EXPECT_TRUE(processes_with(marker_, "sc").empty());
  }

 private:
  static std::vector<pid_t> children_of(pid_t pid) {
    std::vector<pid_t> out;
    const std::string task =
        "/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children";
    std::string text;
    try {
      text = read_file(task, 65536);
    } catch (const std::system_error&) {
      return out;
    }
    for (char* at = text.data(); *at != '\0';) {
      char* end = at;
      const long child = std::strtol(at, &end, 10);
      if (end == at) break;
      out.push_back(static_cast<pid_t>(child));
      at = end;
      while (*at == ' ') ++at;
    }
    return out;
  }

  std::string marker_;
  Process client_;
  std::vector<pid_t> inside_;
};

// Serves again: `sc run` works, where it may take a moment until a process is started again.
void expect_serving_again(const Instance& instance) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  Output output;
  do {
    output = instance.run({"/bin/echo", "again"});
  } while (output.status == 125 && std::chrono::steady_clock::now() < deadline);
  EXPECT_EQ(output.out, "again\n") << output.err;
}

bool has_record(const Instance& instance, const std::string& kind, const std::string& text) {
  for (const auto& record : instance.records(kind)) {
    if (record.at("reason").get<std::string>().find(text) != std::string::npos) return true;
  }
  return false;
}

TEST(Supervisor, ASecondInstanceIsRefusedAndTheFirstServesOn) {
  Instance instance;
  instance.start();
  const Output second = instance.start_in_vain();
  EXPECT_EQ(second.status, 1);
  EXPECT_THAT(second.err, HasSubstr("running already"));
  EXPECT_THAT(second.err, HasSubstr(std::to_string(instance.supervisor())));
  EXPECT_THAT(second.err, HasSubstr("sc stop"));
  EXPECT_EQ(instance.run({"/bin/echo", "served"}).out, "served\n");
}

TEST(Supervisor, AStaleSocketIsReplaced) {
  Instance instance;
  instance.start();
  instance.kill();
  ASSERT_TRUE(std::filesystem::exists(instance.places().socket()));
  const Output refused = instance.run({"/bin/true"});
  EXPECT_EQ(refused.status, 125);
  EXPECT_THAT(refused.err, HasSubstr("sc start"));
  instance.start();
  EXPECT_EQ(instance.run({"/bin/echo", "served"}).out, "served\n");
}

TEST(Supervisor, StandsInALongPath) {
  Instance instance;
  const std::string home = instance.root() + "/" + std::string(120, 'x');
  std::filesystem::create_directory(home);
  const std::map<std::string, std::string> variables = {{"SHARKCAGE_HOME", home}};
  const Output started = instance.spawn("sc", {"start"}, variables).finish();
  EXPECT_EQ(started.status, 0) << started.err;
  EXPECT_EQ(instance.spawn("sc", {"run", "--", "/bin/echo", "served"}, variables).finish().out,
            "served\n");
  EXPECT_EQ(instance.spawn("sc", {"stop"}, variables).finish().status, 0);
}

TEST(Supervisor, EndsCleanlyOnSigterm) {
  Instance instance;
  instance.start();
  LongCall call(instance);
  const Output end = instance.stop();
  EXPECT_EQ(end.status, 0) << end.err;
  EXPECT_EQ(call.finish().status, 125);
  call.expect_gone();
  EXPECT_FALSE(std::filesystem::exists(instance.places().socket()));
  EXPECT_EQ(instance.records().back().at("reason"), "stopped");
  EXPECT_TRUE(has_record(instance, "outcome", "supervisor"));
  EXPECT_EQ(instance.verify().status, 0);
}

TEST(Supervisor, EndsCleanlyOnRequest) {
  Instance instance;
  instance.start();
  LongCall call(instance);
  const Output stop = instance.sc({"stop"});
  EXPECT_EQ(stop.status, 0) << stop.err;
  EXPECT_EQ(instance.wait_for_end().status, 0);
  EXPECT_EQ(call.finish().status, 125);
  call.expect_gone();
  EXPECT_EQ(instance.verify().status, 0);
}

TEST(Supervisor, TakesEverythingWithItWhenItIsKilled) {
  Instance instance;
  instance.start();
  LongCall call(instance);
  const Json processes = instance.status().at("processes");
  instance.kill();
  const Output end = call.finish();
  EXPECT_EQ(end.status, 125);
  EXPECT_THAT(end.err, HasSubstr("supervisor"));
  call.expect_gone();
  wait_until_gone(processes.at("launcher").at("pid"));
  wait_until_gone(processes.at("egress").at("pid"));
  EXPECT_EQ(instance.verify().status, 0);

  instance.start();
  EXPECT_EQ(instance.run({"/bin/echo", "again"}).out, "again\n");
  EXPECT_EQ(instance.stop().status, 0);
  EXPECT_EQ(instance.verify().status, 0);
}

TEST(Supervisor, SurvivesTheDeathOfItsLauncher) {
  Instance instance;
  instance.start();
  LongCall call(instance);
  const Json before = instance.status().at("processes").at("launcher");
  ASSERT_EQ(::kill(before.at("pid").get<pid_t>(), SIGKILL), 0);
  EXPECT_EQ(call.finish().status, 125);
  call.expect_gone();
  expect_serving_again(instance);
  const Json after = instance.status().at("processes").at("launcher");
  EXPECT_EQ(after.at("restarts"), 1);
  EXPECT_NE(after.at("pid"), before.at("pid"));
  EXPECT_TRUE(has_record(instance, "supervisor", "launcher"));
  EXPECT_TRUE(has_record(instance, "outcome", "supervisor"));
}

TEST(Supervisor, SurvivesTheDeathOfItsEgress) {
  Instance instance;
  instance.start();
  const Json before = instance.status().at("processes").at("egress");
  ASSERT_EQ(::kill(before.at("pid").get<pid_t>(), SIGKILL), 0);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  Json after;
  do {
    after = instance.status().at("processes").at("egress");
  } while ((after.at("pid") == 0 || after.at("pid") == before.at("pid")) &&
           std::chrono::steady_clock::now() < deadline);
  EXPECT_EQ(after.at("restarts"), 1);
  EXPECT_NE(after.at("pid"), before.at("pid"));
  EXPECT_TRUE(has_record(instance, "supervisor", "egress"));
  EXPECT_EQ(instance.run({"/bin/echo", "served"}).out, "served\n");
}

TEST(Calls, EndWithTheirClient) {
  Instance instance;
  instance.start();
  LongCall call(instance);
  call.client().signal(SIGKILL);
  call.expect_gone();
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (instance.status().at("calls").size() > 0 && std::chrono::steady_clock::now() < deadline) {
  }
  EXPECT_EQ(instance.status().at("calls").size(), 0u);
  EXPECT_TRUE(has_record(instance, "outcome", "cancelled"));
}

TEST(Calls, EndWhenAnOperatorCancelsThem) {
  Instance instance;
  instance.start();
  LongCall call(instance);
  const Json calls = instance.status().at("calls");
  ASSERT_EQ(calls.size(), 1u);
  instance.client().call("call.cancel", {{"call", calls[0].at("call")}});
  EXPECT_EQ(call.finish().status, 137);
  call.expect_gone();
}

TEST(Calls, EndWhenTheirSkillIsRevoked) {
  Instance instance;
  instance.start();
  instance.approve_skill("shell",
                         Json::array({{{"capability", "system.exec"}, {"reason", "test"}}}));
  Process client = instance.spawn(
      "sc", {"run", "--skill", "shell", "--", "/bin/sh", "-c", "echo running; sleep 100000"});
  client.wait_for("running");
  Process other =
      instance.spawn("sc", {"run", "--", "/bin/sh", "-c", "echo running; read line; echo $line"});
  other.wait_for("running");
  EXPECT_EQ(instance.sc({"revoke", "shell"}).status, 0);
  EXPECT_EQ(client.finish().status, 137);
  EXPECT_EQ(instance.sc({"run", "--skill", "shell", "--", "/bin/true"}).status, 126);
  // Nobody else's call is touched.
  other.write("still here\n");
  EXPECT_THAT(other.finish().out, HasSubstr("still here"));
  EXPECT_TRUE(has_record(instance, "outcome", "revoked"));
}

TEST(Calls, TheirMonitorsDeathEndsThem) {
  Instance instance;
  instance.start();
  const std::string marker = "marker" + random_hex(8);
  Process client = instance.spawn(
      "sc", {"run", "--", "/bin/sh", "-c", "echo running; sleep 100000 # " + marker});
  client.wait_for("running");
  const auto inside = processes_with(marker, "sc");
  ASSERT_FALSE(inside.empty());
  // command → PID 1 → monitor → launcher
  const auto parent_of = [](pid_t pid) {
    const std::string text = read_file("/proc/" + std::to_string(pid) + "/stat", 65536);
    return static_cast<pid_t>(std::stol(text.substr(text.rfind(')') + 4)));
  };
  const auto launcher = instance.status().at("processes").at("launcher").at("pid").get<pid_t>();
  pid_t monitor = inside.front();
  while (parent_of(monitor) != launcher) {
    monitor = parent_of(monitor);
    ASSERT_GT(monitor, 1);
  }
  ASSERT_EQ(::kill(monitor, SIGKILL), 0);
  EXPECT_EQ(client.finish().status, 125);
  for (const pid_t pid : inside) wait_until_gone(pid);
  EXPECT_EQ(instance.run({"/bin/echo", "served"}).out, "served\n");
}

}  // namespace
}  // namespace sharkcage::testing
