// sc run: what a command sees, how it ends, and what the person in front of it gets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/places.h"
#include "tests/integration/instance.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const Json kAnyProgram = Json::array({{{"capability", "system.exec"}, {"reason", "test"}}});

class Run : public ::testing::Test {
 protected:
  Run() { instance_.start(); }
  Output shell(const std::string& script) const { return instance_.run({"/bin/sh", "-c", script}); }
  Instance instance_;
};

TEST_F(Run, EndsAsTheCommandEnds) {
  EXPECT_EQ(shell("exit 0").status, 0);
  EXPECT_EQ(shell("exit 1").status, 1);
  EXPECT_EQ(shell("exit 255").status, 255);
  EXPECT_EQ(shell("kill -TERM $$").status, 128 + SIGTERM);
  EXPECT_EQ(shell("kill -KILL $$").status, 128 + SIGKILL);
  EXPECT_EQ(shell("kill -SEGV $$").status, 128 + SIGSEGV);
}

TEST_F(Run, SaysWhyAProgramCannotRun) {
  const Output missing = instance_.run({"no-such-program"});
  EXPECT_EQ(missing.status, 127);
  EXPECT_THAT(missing.err, HasSubstr("no-such-program"));
  write_text(instance_.workspace() + "/script", "#!/bin/sh\necho ran\n");
  const Output not_executable = instance_.run({instance_.workspace() + "/script"});
  EXPECT_EQ(not_executable.status, 126);
  EXPECT_EQ(not_executable.out, "");
}

TEST_F(Run, PassesTheStreams) {
  Process client = instance_.spawn("sc", {"run", "--", "/bin/sh", "-c", "cat; echo to stderr >&2"});
  const std::string bytes("binary \0\xff\n text", 15);
  client.write(bytes);
  const Output output = client.finish();
  EXPECT_EQ(output.out, bytes);
  EXPECT_EQ(output.err, "to stderr\n");
}

TEST_F(Run, RelaysFiles) {
  write_text(instance_.workspace() + "/in", "from a file\n");
  // The shell opens the files, sc relays them: the command holds pipes.
  const std::string sc = std::string(SHARKCAGE_PROGRAMS) + "/sc";
  Process::Options options{
      {{"SHARKCAGE_HOME", instance_.root() + "/cage"}, {"PATH", "/usr/bin:/bin"}},
      instance_.workspace(),
      {}};
  const Output output =
      Process(
          {"/bin/sh", "-c", sc + " run -- /bin/sh -c 'cat; readlink /proc/self/fd/0' < in > out"},
          options)
          .finish();
  EXPECT_EQ(output.status, 0) << output.err;
  EXPECT_THAT(read_file(instance_.workspace() + "/out", 4096),
              ::testing::StartsWith("from a file\npipe:["));
}

TEST_F(Run, BringsLargeOutputWhole) {
  const Output output = shell("head -c 10000000 /dev/zero | tr '\\0' x; echo end >&2");
  EXPECT_EQ(output.out.size(), 10'000'000u);
  EXPECT_EQ(output.out.find_first_not_of('x'), std::string::npos);
  EXPECT_EQ(output.err, "end\n");
  const Output json = instance_.sc(
      {"run", "--json", "--", "/bin/sh", "-c", "head -c 10000000 /dev/zero | tr '\\0' x"});
  EXPECT_EQ(Json::parse(json.out).at("stdout").get<std::string>().size(), 10'000'000u);
}

TEST_F(Run, WorksWhereItIsCalled) {
  std::filesystem::create_directories(instance_.workspace() + "/sub");
  EXPECT_EQ(shell("pwd; cd sub && pwd").out,
            instance_.workspace() + "\n" + instance_.workspace() + "/sub\n");
  EXPECT_EQ(shell("echo text > file; cat file").out, "text\n");
  EXPECT_EQ(read_file(instance_.workspace() + "/file", 64), "text\n");
  const Output readonly = instance_.sc({"run", "--workspace", instance_.workspace() + ":ro", "--",
                                        "/bin/sh", "-c", "cat file; echo more >> file"});
  EXPECT_EQ(readonly.out, "text\n");
  EXPECT_NE(readonly.status, 0);
  EXPECT_EQ(read_file(instance_.workspace() + "/file", 64), "text\n");
  EXPECT_EQ(
      instance_.sc({"run", "--workspace", instance_.root() + "/nowhere", "--", "/bin/true"}).status,
      125);
}

TEST_F(Run, ADirectoryWithoutANameInTextIsNone) {
  const std::string directory = instance_.workspace() + "/a\xff";
  std::filesystem::create_directories(directory);
  const Output output = instance_.sc({"run", "--workspace", directory, "--", "/bin/true"});
  EXPECT_NE(output.status, 0);
  EXPECT_THAT(output.err, HasSubstr("not UTF-8. Rename the directory"));
}

// The instance has a HOME of its own: a supervisor may be started with any.
TEST_F(Run, RefusesTheHomeOfTheAccountThoughHomeSaysAnother) {
  const std::string account = home_of(::geteuid());
  ASSERT_NE(account, instance_.home());
  const Output output = instance_.sc({"run", "--workspace", account, "--", "/bin/ls", "-a"});
  EXPECT_EQ(output.status, 126) << output.err;
  EXPECT_TRUE(instance_.blocked_has("The workspace " + account));
}

TEST_F(Run, RefusesProtectedWorkspaces) {
  write_text(instance_.home() + "/.ssh/id_rsa", "the key");
  for (const std::string& workspace : {instance_.home() + "/.ssh", instance_.home(),
                                       std::string("/"), instance_.root() + "/cage/var"}) {
    const Output output = instance_.sc(
        {"run", "--workspace", workspace, "--", "/bin/sh", "-c", "cat .ssh/id_rsa id_rsa"});
    EXPECT_EQ(output.status, 126) << workspace;
    EXPECT_THAT(output.out, Not(HasSubstr("the key"))) << workspace;
    EXPECT_TRUE(instance_.blocked_has("The workspace " + workspace)) << workspace;
    const rpc::Error error = error_of([&] {
      instance_.client().call("session.open",
                              {{"session", "s"}, {"workspace", workspace}, {"access", "ro"}});
    });
    EXPECT_EQ(error.code, rpc::kBlocked) << error.message;
  }
  EXPECT_EQ(instance_.status().at("sessions"), 0);
}

TEST_F(Run, ShowsNothingOfTheHome) {
  write_text(instance_.home() + "/.ssh/id_rsa", "the key");
  write_text(instance_.home() + "/notes", "private");
  const Output output = shell("echo $HOME; ls -A ~; cat ~/.ssh/id_rsa ~/notes");
  EXPECT_EQ(output.out, instance_.home() + "\n.config\n.gitconfig\n") << "git's, of its own";
  EXPECT_NE(output.status, 0);
}

TEST_F(Run, FiltersTheEnvironment) {
  instance_.approve_skill(
      "keyed",
      Json::array(
          {{{"capability", "system.exec"}, {"reason", "test"}},
           {{"capability", "system.env"}, {"scope", {"APPROVED_KEY"}}, {"reason", "test"}}}));
  const std::map<std::string, std::string> variables = {{"APPROVED_KEY", "approved-value"},
                                                        {"AWS_SECRET_ACCESS_KEY", "other-value"},
                                                        {"LD_PRELOAD_", "x"},
                                                        {"BASH_ENV", "/tmp/x"},
                                                        {"TERM", "dumb"}};
  const Output agent = instance_.spawn("sc", {"run", "--", "/usr/bin/env"}, variables).finish();
  EXPECT_THAT(agent.out, HasSubstr("TERM=dumb\n"));
  const Output skill =
      instance_.spawn("sc", {"run", "--skill", "keyed", "--", "/usr/bin/env"}, variables).finish();
  EXPECT_THAT(skill.out, HasSubstr("APPROVED_KEY=approved-value\n"));
  EXPECT_THAT(agent.out, Not(HasSubstr("APPROVED_KEY")));
  for (const Output& output : {agent, skill}) {
    EXPECT_THAT(output.out, Not(HasSubstr("other-value")));
    EXPECT_THAT(output.out, Not(HasSubstr("SHARKCAGE_HOME")));
    EXPECT_THAT(output.out, Not(HasSubstr("BASH_ENV")));
    EXPECT_THAT(output.out, HasSubstr("PATH="));
  }
  // Invariant 10: a value is in no record.
  for (const auto& record : instance_.records()) {
    EXPECT_THAT(record.dump(), Not(HasSubstr("approved-value")));
    EXPECT_THAT(record.dump(), Not(HasSubstr("other-value")));
  }
}

TEST_F(Run, EndsAtTheTimeLimit) {
  const Output output = instance_.sc({"run", "--timeout", "300ms", "--", "/bin/sleep", "100000"});
  EXPECT_EQ(output.status, 124);
  EXPECT_THAT(output.err, HasSubstr("time limit"));
  bool recorded = false;
  for (const auto& record : instance_.records("outcome")) recorded |= record.at("reason") == "wall";
  EXPECT_TRUE(recorded);
}

// A command may write before its client has heard that it was started; until then a signal ends the
// client, and the call with it.
void wait_until_it_forwards(pid_t client) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (bool held = false; !held;) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::ifstream status("/proc/" + std::to_string(client) + "/status");
    for (std::string line; std::getline(status, line);) {
      held = held ||
             (line.starts_with("SigBlk:") && line.find_first_of("123456789abcdef", 7) != line.npos);
    }
  }
}

TEST_F(Run, ForwardsSignals) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    Process client =
        instance_.spawn("sc", {"run", "--", "/bin/sh", "-c", "echo running; exec sleep 100000"});
    client.wait_for("running");
    client.signal(number);
    EXPECT_EQ(client.finish().status, 128 + number);
  }
  Process trapping = instance_.spawn(
      "sc",
      {"run", "--", "/bin/sh", "-c",
       "trap 'echo trapped; exit 9' TERM; echo running; while :; do sleep 100000 & wait $!; done"});
  trapping.wait_for("running");
  wait_until_it_forwards(trapping.pid());
  trapping.signal(SIGTERM);
  const Output output = trapping.finish();
  EXPECT_THAT(output.out, HasSubstr("trapped"));
  EXPECT_EQ(output.status, 9);
}

TEST_F(Run, LeavesNothingBehindWhenItReturns) {
  const Output output = shell("setsid sleep 100000 > /dev/null 2>&1 < /dev/null & echo started");
  EXPECT_EQ(output.out, "started\n");
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (instance_.status().at("calls").size() > 0 && std::chrono::steady_clock::now() < deadline) {
  }
  EXPECT_EQ(instance_.status().at("calls").size(), 0u);
}

TEST_F(Run, TwoSkillsAtOnceHaveEachItsOwnPolicy) {
  const std::string left = instance_.root() + "/left";
  const std::string right = instance_.root() + "/right";
  write_text(left + "/file", "left\n");
  write_text(right + "/file", "right\n");
  const auto reads = [](const std::string& path) {
    return Json::array(
        {{{"capability", "system.exec"}, {"reason", "test"}},
         {{"capability", "system.files.read"}, {"scope", {path}}, {"reason", "test"}}});
  };
  instance_.approve_skill("left", reads(left));
  instance_.approve_skill("right", reads(right));
  const std::string script = "echo running; read go; cat " + left + "/file " + right +
                             "/file; ls /proc | grep -c '^[0-9]'";
  Process first = instance_.spawn("sc", {"run", "--skill", "left", "--", "/bin/sh", "-c", script});
  Process second =
      instance_.spawn("sc", {"run", "--skill", "right", "--", "/bin/sh", "-c", script});
  first.wait_for("running");
  second.wait_for("running");
  first.write("go\n");
  second.write("go\n");
  const Output a = first.finish();
  const Output b = second.finish();
  EXPECT_THAT(a.out, ::testing::StartsWith("running\nleft\n"));
  EXPECT_THAT(a.out, Not(HasSubstr("right")));
  EXPECT_THAT(b.out, ::testing::StartsWith("running\nright\n"));
  EXPECT_THAT(b.out, Not(HasSubstr("left")));
}

TEST_F(Run, OnlyApprovedProgramsRun) {
  instance_.approve_skill(
      "narrow",
      Json::array({{{"capability", "system.exec"}, {"scope", {"cat"}}, {"reason", "test"}}}));
  const auto run = [&](const std::vector<std::string>& argv) {
    std::vector<std::string> arguments = {"run", "--skill", "narrow", "--"};
    arguments.insert(arguments.end(), argv.begin(), argv.end());
    return instance_.sc(arguments);
  };
  write_text(instance_.workspace() + "/file", "text\n");
  EXPECT_EQ(run({"cat", "file"}).out, "text\n");
  EXPECT_NE(run({"ls"}).status, 0);
  EXPECT_NE(run({"/usr/bin/head", "file"}).status, 0);
  const Output copied = run({"/bin/sh", "-c", "cat /usr/bin/head > copy; ./copy file"});
  EXPECT_NE(copied.status, 0);
  EXPECT_EQ(copied.out, "");
  std::filesystem::remove(instance_.workspace() + "/copy");
  EXPECT_EQ(instance_.sc({"run", "--skill", "no-such-skill", "--", "/bin/true"}).status, 126);
  EXPECT_TRUE(instance_.blocked_has("no-such-skill"));
}

TEST_F(Run, WritesDownWhatHappened) {
  EXPECT_EQ(shell("exit 5").status, 5);
  const auto verdicts = instance_.records("verdict");
  const auto outcomes = instance_.records("outcome");
  ASSERT_EQ(verdicts.size(), 1u);
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(verdicts[0].at("decision"), "allow");
  EXPECT_EQ(verdicts[0].at("call"), outcomes[0].at("call"));
  EXPECT_EQ(verdicts[0].at("policy"), outcomes[0].at("policy"));
  EXPECT_LT(verdicts[0].at("seq"), outcomes[0].at("seq"));
  EXPECT_EQ(outcomes[0].at("payload").at("exit"), 5);
  EXPECT_EQ(instance_.verify().status, 0);
}

}  // namespace
}  // namespace sharkcage::testing
