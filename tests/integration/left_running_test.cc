// What is refused to processes that a command of a session left running is in the log, as that
// command's, whatever ends them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "tests/integration/host.h"

namespace sharkcage::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Json kAnyProgram = Json::array({{{"capability", "system.exec"}, {"reason", "test"}}});

// Leaves a process that tries to make /usr/NAME for each NAME that somebody writes to "do", says so
// at "done", and runs on.
constexpr const char* kTry = R"(import os
for end in ('do', 'done'): os.mkfifo(end, 0o666)
if os.fork(): os._exit(0)
while True:
  for name in open('do').read().split():
    try: os.mkdir('/usr/' + name)
    except OSError: pass
  open('done', 'w').close()
)";

// Leaves a process that tries to make /usr/NAME when somebody has opened NAME.go for writing, says
// at NAME.done that it has, and ends at the next time.
constexpr const char* kLeave = R"(import os, sys
name = sys.argv[1]
for end in ('go', 'done'): os.mkfifo(name + '.' + end, 0o666)
if os.fork(): sys.exit(0)
if 'own session' in sys.argv: os.setsid()
def wait(): open(name + '.go').read()
wait()
try: os.mkdir('/usr/' + name)
except OSError: pass
open(name + '.done', 'w').close()
wait()
)";

class LeftRunning : public ::testing::Test {
 protected:
  explicit LeftRunning(const std::string& config = "{}") {
    instance_.configure(config);
    write_text(instance_.workspace() + "/leave.py", kLeave);
    instance_.start();
  }

  // Returns the call.
  std::string run(const std::vector<std::string>& argv, const std::string& session = "s",
                  const std::string& skill = "agent") const {
    std::vector<std::string> arguments = {"run",     "--json", "--session", session,
                                          "--skill", skill,    "--"};
    arguments.insert(arguments.end(), argv.begin(), argv.end());
    const Output output = instance_.sc(arguments);
    EXPECT_EQ(output.status, 0) << output.out << output.err;
    return Json::parse(output.out).at("call");
  }
  std::string leave(const std::string& name, const std::string& skill = "agent") const {
    return run({"python3", "leave.py", name}, "s", skill);
  }
  // What was left tries now, and is refused when this returns.
  void let_try(const std::string& name) const {
    let_end(name);
    std::ifstream done(instance_.workspace() + "/" + name + ".done");
    EXPECT_EQ(done.get(), std::ifstream::traits_type::eof());
  }
  void let_end(const std::string& name) const {
    EXPECT_TRUE(std::ofstream(instance_.workspace() + "/" + name + ".go").is_open());
  }

  bool has_sandbox(const std::string& kind = "warm") const {
    const Json status = instance_.status();
    for (const Json& sandbox : status.at("sandboxes")) {
      if (sandbox.at("kind") == kind) return true;
    }
    return false;
  }
  void wait_until(const std::function<bool()>& wanted) const {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!wanted()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << instance_.status().dump(2);
    }
  }
  void wait_until_over() const {
    wait_until([&] { return instance_.status().at("calls").empty() && !has_sandbox(); });
  }

  // By call: what each of its outcomes lists, "create /usr/a"; of one after the return: "later: …".
  std::map<std::string, std::vector<std::string>> refused() const {
    std::map<std::string, std::vector<std::string>> found;
    for (const Json& record : instance_.records("outcome")) {
      const Json& payload = record.at("payload");
      EXPECT_EQ(record.at("decision"), "");
      const std::string when = payload.value("left_running", false) ? "later: " : "";
      for (const Json& refusal : payload.value("refused", Json::array())) {
        found[record.at("call")].push_back(when + refusal.at("operation").get<std::string>() + " " +
                                           refusal.value("path", ""));
      }
    }
    return found;
  }

  // Of "2026-11-21T14:03:07.120348Z".
  static double seconds_of_day(const std::string& time) {
    return std::stod(time.substr(11, 2)) * 3600 + std::stod(time.substr(14, 2)) * 60 +
           std::stod(time.substr(17, 9));
  }

  // Of the instance's processes, those of this name.
  std::vector<pid_t> processes(const std::string& name) const {
    std::vector<pid_t> found;
    for (const pid_t pid : instance_.processes()) {
      std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
      std::string comm;
      if (std::getline(file, comm) && comm == name) found.push_back(pid);
    }
    return found;
  }

  Instance instance_;
};

TEST_F(LeftRunning, WhatItIsRefusedIsInAnOutcomeOfItsCall) {
  const std::string call = leave("a");
  EXPECT_THAT(refused(), IsEmpty());
  let_try("a");
  let_end("a");
  wait_until([&] { return instance_.status().at("calls").empty(); });
  EXPECT_TRUE(has_sandbox());
  EXPECT_THAT(refused()[call], ElementsAre("later: create /usr/a"));
  const auto outcomes = instance_.records("outcome");
  ASSERT_EQ(outcomes.size(), 2u);
  for (const char* member : {"call", "session", "skill", "agent", "tool", "policy"}) {
    EXPECT_EQ(outcomes[0].at(member), outcomes[1].at(member));
  }
  EXPECT_THAT(instance_.sc({"audit", "--blocked"}).out,
              HasSubstr("the agent tried to create /usr/a (python3, after its command returned)"));
  EXPECT_THAT(instance_.sc({"audit"}).out,
              HasSubstr(": python3 leave.py a; refused: create /usr/a"));
  EXPECT_EQ(instance_.verify().status, 0);
}

// While it runs, with nobody doing anything; later only what is new.
TEST_F(LeftRunning, WhatItIsRefusedIsToldWhileItRuns) {
  const std::string call = run({"python3", "-c", kTry});
  const auto attempt = [&](const std::string& names) {
    std::ofstream(instance_.workspace() + "/do") << names;
    std::ifstream(instance_.workspace() + "/done").get();
  };
  const auto shown = [&] {
    const Json status = instance_.status();
    return status.at("calls").empty() ? Json() : status.at("calls")[0].at("refused");
  };
  EXPECT_EQ(shown(), 0);
  attempt("a a b");
  wait_until([&] { return shown() == 2; });
  EXPECT_THAT(refused()[call], ElementsAre("later: create /usr/a", "later: create /usr/b"));
  EXPECT_THAT(instance_.sc({"audit"}).out, HasSubstr("agent's exec left running still runs: "));
  EXPECT_THAT(instance_.sc({"audit", "--blocked"}).out,
              HasSubstr("tried to create /usr/a (python3, 2 times, after its command returned)"));
  EXPECT_THAT(instance_.sc({"status"}).out, HasSubstr("returned  "));
  attempt("a");
  wait_until([&] { return shown() == 3; });
  instance_.stop();
  const auto outcomes = instance_.records("outcome");
  ASSERT_EQ(outcomes.size(), 3u);
  const Json& second = outcomes[2].at("payload").at("refused");
  ASSERT_EQ(second.size(), 1u) << second;
  EXPECT_EQ(second[0].at("path"), "/usr/a");
  EXPECT_EQ(second[0].at("count"), 1);
  // However often it tries: not with each attempt.
  const auto at = [&](std::size_t i) { return seconds_of_day(outcomes[i].at("time")); };
  EXPECT_GE(at(2) - at(1), 4.9);
}

TEST_F(LeftRunning, WhatIsRefusedNothingHasOneOutcome) {
  run({"/bin/sh", "-c", "sleep 100000 &"});
  instance_.stop();
  EXPECT_EQ(instance_.records("outcome").size(), 1u);
  EXPECT_THAT(refused(), IsEmpty());
}

TEST_F(LeftRunning, ALaterCommandOfTheSessionHasNothingToDoWithIt) {
  const std::string call = leave("a");
  let_try("a");
  const std::string innocent = run({"true"});
  instance_.stop();
  EXPECT_THAT(refused()[call], ElementsAre("later: create /usr/a"));
  EXPECT_THAT(refused()[innocent], IsEmpty());
}

TEST_F(LeftRunning, EachCommandHasItsOwn) {
  const std::string first = leave("a");
  const std::string second = leave("b");
  let_try("b");
  let_try("a");
  let_end("a");
  wait_until([&] { return instance_.status().at("calls").size() == 1; });
  EXPECT_THAT(refused()[first], ElementsAre("later: create /usr/a"));
  instance_.stop();
  EXPECT_THAT(refused()[first], ElementsAre("later: create /usr/a"));
  EXPECT_THAT(refused()[second], ElementsAre("later: create /usr/b"));
}

// Every end that the supervisor gives a sandbox.
TEST_F(LeftRunning, TheSupervisorsStopLosesNothing) {
  const std::string call = leave("a");
  let_try("a");
  EXPECT_EQ(instance_.stop().status, 0);
  EXPECT_THAT(refused()[call], ElementsAre("later: create /usr/a"));
}

TEST_F(LeftRunning, ACancellationLosesNothing) {
  const std::string call = leave("a");
  let_try("a");
  instance_.client().call("call.cancel", {{"call", call}});
  wait_until([&] { return instance_.status().at("calls").empty(); });
  EXPECT_THAT(refused()[call], ElementsAre("later: create /usr/a"));
}

TEST_F(LeftRunning, ARevocationLosesNothing) {
  instance_.approve_skill("any", kAnyProgram);
  const std::string call = leave("a", "any");
  let_try("a");
  EXPECT_EQ(instance_.sc({"revoke", "any"}).status, 0);
  wait_until_over();
  EXPECT_THAT(refused()[call], ElementsAre("later: create /usr/a"));
}

TEST_F(LeftRunning, TheEndOfAHostsSessionLosesNothing) {
  Host host(instance_, "chat");
  Streams streams;
  const std::string call = host.open(host.ticket_for("python3 leave.py a"), streams).at("call");
  wait_for(host.client(), "exec.exit");
  let_try("a");
  host.client().call("session.close", {{"session", "chat"}});
  wait_until_over();
  EXPECT_THAT(refused()[call], ElementsAre("later: create /usr/a"));
}

// Something that runs code later has come to be: what was made before does not cover it.
TEST_F(LeftRunning, AnotherSandboxInItsPlaceLosesNothing) {
  const std::string call = leave("a");
  let_try("a");
  std::filesystem::create_directories(instance_.workspace() + "/.vscode");
  run({"true"});
  wait_until([&] { return instance_.status().at("calls").empty(); });
  EXPECT_THAT(refused()[call], ElementsAre("later: create /usr/a"));
}

class LeftRunningShort : public LeftRunning {
 protected:
  LeftRunningShort() : LeftRunning(R"({"warm": {"idle": "300ms"}})") {}
};

TEST_F(LeftRunningShort, TheIdleTimeLosesNothing) {
  const std::string call = run({"python3", "-c",
                                "import os\n"
                                "if os.fork(): os._exit(0)\n"
                                "while True:\n"
                                "  try: os.mkdir('/usr/a')\n"
                                "  except OSError: pass\n"});
  wait_until_over();
  EXPECT_THAT(refused()[call], Contains("later: create /usr/a"));
}

TEST_F(LeftRunning, ADeputyThatIsKilledIsToldOfEveryCommand) {
  const std::string first = leave("a");
  const std::string second = leave("b");
  let_try("a");
  for (const pid_t pid : processes("sc-deputy")) ::kill(pid, SIGKILL);
  wait_until_over();
  EXPECT_THAT(refused()[first], Contains("later: unknown "));
  EXPECT_THAT(refused()[second], Contains("later: unknown "));
}

// A monitor has the launcher's name.
TEST_F(LeftRunning, AMonitorThatIsKilledIsTold) {
  const std::string call = leave("a");
  let_try("a");
  const auto launcher = instance_.status().at("processes").at("launcher").at("pid").get<pid_t>();
  std::ifstream children("/proc/" + std::to_string(launcher) + "/task/" + std::to_string(launcher) +
                         "/children");
  for (pid_t child = 0; children >> child;) ::kill(child, SIGKILL);
  wait_until_over();
  EXPECT_THAT(refused()[call], Contains("later: unknown "));
  EXPECT_THAT(instance_.sc({"audit", "--blocked"}).out,
              HasSubstr("may have been refused what is not known: the process that watches"));
}

// Which session a process is in is its own choice; which command it comes from is not.
TEST_F(LeftRunning, WhatMadeASessionOfItsOwnIsItsCommands) {
  const std::string first = run({"python3", "leave.py", "a", "own session"});
  const std::string second = run({"python3", "leave.py", "b", "own session"});
  let_try("b");
  let_try("a");
  const std::string innocent = run({"true"});
  let_end("b");
  wait_until([&] { return instance_.status().at("calls").size() == 1; });
  EXPECT_THAT(refused()[second], ElementsAre("later: create /usr/b"));
  instance_.stop();
  EXPECT_THAT(refused()[first], ElementsAre("later: create /usr/a"));
  EXPECT_THAT(refused()[second], ElementsAre("later: create /usr/b"));
  EXPECT_THAT(refused()[innocent], IsEmpty());
}

// By the file system of our own, which sees look-ups: another process than the deputy.
TEST_F(LeftRunning, SoIsWhatItLooksForInVain) {
  if (::access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "/dev/fuse cannot be opened";
  write_text(instance_.home() + "/.netrc", "the key");
  const std::string call = run({"python3", "-c",
                                "import os\n"
                                "for end in ('a.go', 'a.done'): os.mkfifo(end, 0o666)\n"
                                "if os.fork(): os._exit(0)\n"
                                "os.setsid()\n"
                                "if os.fork(): os._exit(0)\n"
                                "open('a.go').read()\n"
                                "try: open(os.path.expanduser('~/.netrc'))\n"
                                "except OSError: pass\n"
                                "open('a.done', 'w').close()\n"
                                "open('a.go').read()"});
  let_try("a");
  const std::string innocent = run({"true"});
  instance_.stop();
  EXPECT_THAT(refused()[call], ElementsAre("later: read " + instance_.home() + "/.netrc"));
  EXPECT_THAT(refused()[innocent], IsEmpty());
}

}  // namespace
}  // namespace sharkcage::testing
