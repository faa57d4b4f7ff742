// What a sandbox refuses is in the log, in words, and whoever ran the command is pointed to it.
// Which accesses are recorded, and how, is in tests/refusals.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <filesystem>

#include "tests/integration/host.h"
#include "tests/integration/instance.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Refusals : public ::testing::Test {
 protected:
  Refusals() {
    write_text(instance_.home() + "/.ssh/id_rsa", "the key");
    instance_.start();
  }
  void SetUp() override {
    if (::access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "/dev/fuse cannot be opened";
  }
  // What sc writes to stderr if that is a terminal.
  std::string stderr_on_terminal(const std::vector<std::string>& arguments, int status) const {
    int ends[2];
    if (::openpty(&ends[0], &ends[1], nullptr, nullptr, nullptr) != 0) return "no terminal";
    const UniqueFd terminal(ends[0]);
    UniqueFd command(ends[1]);
    Process::Options options{{{"SHARKCAGE_HOME", instance_.root() + "/cage"},
                              {"HOME", instance_.home()},
                              {"PATH", "/usr/bin:/bin:" + instance_.home() + "/bin"}},
                             instance_.workspace(),
                             [&] { ::dup2(command.get(), STDERR_FILENO); }};
    std::vector<std::string> argv = {std::string(SHARKCAGE_PROGRAMS) + "/sc"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    EXPECT_EQ(Process(argv, options).finish().status, status);
    command.reset();
    std::string shown;
    char block[1024];
    for (ssize_t got; (got = ::read(terminal.get(), block, sizeof block)) > 0;) {
      shown.append(block, static_cast<std::size_t>(got));
    }
    return shown;
  }

  Instance instance_;
};

TEST_F(Refusals, AreTheOutcomesAndShownInWords) {
  const Output output = instance_.run({"/bin/sh", "-c", "cat ~/.ssh/id_rsa; cat ~/.ssh/id_rsa"});
  EXPECT_EQ(output.status, 1);
  const auto outcomes = instance_.records("outcome");
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0]["decision"], "");
  const Json& refused = outcomes[0]["payload"]["refused"];
  ASSERT_EQ(refused.size(), 1u) << refused;
  EXPECT_EQ(refused[0]["operation"], "read");
  EXPECT_EQ(refused[0]["path"], instance_.home() + "/.ssh/id_rsa");
  EXPECT_EQ(refused[0]["program"], "cat");
  EXPECT_EQ(refused[0]["count"], 2);
  EXPECT_GT(refused[0]["pid"], 1);
  EXPECT_LE(refused[0]["first"], outcomes[0]["time"]);
  EXPECT_THAT(instance_.sc({"audit", "--blocked"}).out,
              HasSubstr("block  the agent tried to read ~/.ssh/id_rsa (cat, 2 times)\n"));
  EXPECT_EQ(instance_.verify().status, 0);
}

TEST_F(Refusals, AreNoneWhereNothingIsRefused) {
  // The home inside is the sandbox's own.
  const Output output = instance_.run(
      {"/bin/sh", "-c", "mkdir ~/.ssh && echo x > ~/.ssh/id_rsa && cat ~/.ssh/id_rsa; ls ~/none"});
  EXPECT_EQ(output.out, "x\n");
  EXPECT_TRUE(instance_.blocked().empty());
  EXPECT_FALSE(instance_.records("outcome").at(0)["payload"].contains("refused"));
}

TEST_F(Refusals, AreCountedForTheClient) {
  Streams streams;
  rpc::Client client = instance_.client();
  exec_run(client, instance_, {"/bin/sh", "-c", "cat ~/.ssh/id_rsa"}, streams);
  EXPECT_EQ(wait_for(client, "exec.exit").at("refused"), 1);
  const Output json = instance_.sc({"run", "--json", "--", "/bin/sh", "-c", "cat ~/.ssh/id_rsa"});
  EXPECT_EQ(Json::parse(json.out).at("refused"), 1);
}

std::vector<std::string> refused_paths(const Json& outcome) {
  std::vector<std::string> out;
  for (const Json& refusal : outcome["payload"].value("refused", Json::array())) {
    out.push_back(refusal["path"]);
  }
  return out;
}

// In a warm sandbox commands share the attendants that see what is refused.
TEST_F(Refusals, BelongToTheCommandThatTried) {
  write_text(instance_.home() + "/notes", "private");
  const auto arguments = [](const std::string& script) {
    return std::vector<std::string>{"run", "--session", "warm", "--", "/bin/sh", "-c", script};
  };
  Process first = instance_.spawn("sc", arguments("cat ~/.ssh/id_rsa; echo tried; read line"));
  first.wait_for("tried");
  EXPECT_EQ(instance_.sc(arguments("cat ~/notes")).status, 1);
  EXPECT_EQ(instance_.sc(arguments("true")).status, 0);
  first.write("end\n");
  EXPECT_EQ(first.finish().status, 0);
  const auto outcomes = instance_.records("outcome");
  ASSERT_EQ(outcomes.size(), 3u);
  EXPECT_EQ(refused_paths(outcomes[0]), std::vector<std::string>{instance_.home() + "/notes"});
  EXPECT_EQ(refused_paths(outcomes[1]), std::vector<std::string>{});
  EXPECT_EQ(refused_paths(outcomes[2]),
            std::vector<std::string>{instance_.home() + "/.ssh/id_rsa"});
}

TEST_F(Refusals, AreToldToAPersonOnly) {
  const std::vector<std::string> arguments = {"run", "--", "/bin/sh", "-c", "cat ~/.ssh/id_rsa"};
  EXPECT_THAT(instance_.sc(arguments).err, Not(HasSubstr("sc audit")));
  EXPECT_THAT(stderr_on_terminal(arguments, 1),
              HasSubstr("sc: 1 access was refused. See: sc audit --blocked --tail 1"));
}

// The egress refuses them, not the sandbox: to the person it is the same.
TEST_F(Refusals, OfHostsAreToldToo) {
  const std::vector<std::string> one = {"run", "--", "getent", "ahostsv4", "secret.example"};
  EXPECT_THAT(stderr_on_terminal(one, 2),
              HasSubstr("sc: 1 access was refused. See: sc audit --blocked --tail 1"));
  const std::string script =
      "cat ~/.ssh/id_rsa; getent ahostsv4 a.example; "
      "getent ahostsv4 b.example; exit 0";
  EXPECT_THAT(stderr_on_terminal({"run", "--", "/bin/sh", "-c", script}, 0),
              HasSubstr("sc: 3 accesses were refused. See: sc audit --blocked --tail 3"));
  const Output json = instance_.sc({"run", "--json", "--", "getent", "hosts", "c.example"});
  EXPECT_EQ(Json::parse(json.out).at("refused"), 1)
      << "one name, of which two addresses were asked";
}

// Where a program is that the sandbox does not show, its person is told and nobody else.
TEST_F(Refusals, SayWhereAProgramIs) {
  const std::string tool = instance_.home() + "/bin/tool";
  write_text(tool, "#!/bin/sh\n");
  std::filesystem::permissions(tool, std::filesystem::perms::owner_all);
  const std::string where = tool + " is on this machine, and the sandbox does not show it";
  for (const std::string& name : {std::string("tool"), tool}) {
    const std::vector<std::string> arguments = {"run", "--", name};
    EXPECT_THAT(stderr_on_terminal(arguments, 127), HasSubstr("sc: " + where));
    const Output piped = instance_.sc(arguments);
    EXPECT_EQ(piped.err, "sharkcage: " + name + ": no such program in the sandbox\n");
  }
  EXPECT_THAT(stderr_on_terminal({"run", "--", "no-such-tool"}, 127), Not(HasSubstr("sc: ")));
  instance_.approve_skill(
      "weather",
      Json::array({{{"capability", "system.exec"}, {"scope", {"true"}}, {"reason", "test"}}}));
  const std::string script = instance_.root() + "/skills/weather/own.sh";
  write_text(script, "#!/bin/sh\n");
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  ASSERT_EQ(instance_.sc({"approve", "weather", "--yes"}).status, 0);
  EXPECT_THAT(stderr_on_terminal({"run", "--skill", "weather", "--", "./own.sh"}, 127),
              HasSubstr("sc: A command begins in the workspace. What weather has is: " + script));
  // It ran, and has its own reasons.
  EXPECT_THAT(stderr_on_terminal({"run", "--", "/bin/sh", "-c", "exit 127"}, 127),
              Not(HasSubstr("sc: ")));
}

TEST_F(Refusals, SayThatARepositoryBeginsAboveTheWorkspace) {
  const std::string where = "sc run --workspace " + instance_.root() + " -- …";
  const std::vector<std::string> arguments = {"run", "--", "git", "status"};
  EXPECT_THAT(stderr_on_terminal(arguments, 128), Not(HasSubstr("sc: The workspace")));
  std::filesystem::create_directories(instance_.root() + "/.git");
  EXPECT_THAT(stderr_on_terminal(arguments, 128), HasSubstr(where));
  EXPECT_THAT(stderr_on_terminal({"run", "--", "false"}, 1), Not(HasSubstr(where)));
}

// The directory that a call was to begin in is nothing that the next one of its session tried.
TEST_F(Refusals, OfACallThatDidNotStartAreItsOwn) {
  const std::string place = instance_.home() + "/private/place";
  std::filesystem::create_directories(place);
  Host host(instance_);
  const auto run = [&](const Json& where) {
    const Json params = {{"command", "true"}, {"workdir", where}};
    Streams streams;
    const Json judged = {{"params", params}};
    const std::string token = host.authorize("true", judged).at("token");
    const std::string ticket = host.prepare(token, "true", {{"workdir", where}}).at("ticket");
    host.open(ticket, streams);
    return wait_for(host.client(), "exec.exit");
  };
  EXPECT_EQ(run(instance_.workspace()).at("exit"), 0);
  EXPECT_EQ(run(place).at("reason"), "sandbox");
  EXPECT_EQ(run(instance_.workspace()).at("exit"), 0);
  const auto outcomes = instance_.records("outcome");
  ASSERT_EQ(outcomes.size(), 3u);
  EXPECT_EQ(refused_paths(outcomes[0]), std::vector<std::string>{});
  EXPECT_EQ(refused_paths(outcomes[1]), std::vector<std::string>{place});
  EXPECT_EQ(refused_paths(outcomes[2]), std::vector<std::string>{});
}

}  // namespace
}  // namespace sharkcage::testing
