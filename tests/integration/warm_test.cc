// Sandboxes that a session keeps: what their commands share, with whom, and what ends them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/hash.h"
#include "tests/integration/host.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const Json kAnyProgram = Json::array({{{"capability", "system.exec"}, {"reason", "test"}}});

class Warm : public ::testing::Test {
 protected:
  explicit Warm(const std::string& config = "{}") {
    instance_.configure(config);
    instance_.start();
  }

  // In the session's sandbox of the agent, or of `skill`.
  Output shell(const std::string& session, const std::string& script,
               const std::string& skill = "agent") const {
    return instance_.sc(
        {"run", "--session", session, "--skill", skill, "--", "/bin/bash", "-c", script});
  }

  std::vector<Json> sandboxes(const std::string& kind = "warm") const {
    std::vector<Json> list;
    const Json status = instance_.status();
    for (const Json& sandbox : status.at("sandboxes")) {
      if (sandbox.at("kind") == kind) list.push_back(sandbox);
    }
    return list;
  }

  // Until `wanted` holds, which the supervisor brings about by itself.
  void wait_until(const std::function<bool()>& wanted) const {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!wanted()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << instance_.status().dump(2);
    }
  }

  static std::vector<pid_t> tree_of(pid_t root) {
    std::vector<pid_t> tree = {root};
    for (std::size_t i = 0; i < tree.size(); ++i) {
      std::error_code error;
      const std::string tasks = "/proc/" + std::to_string(tree[i]) + "/task";
      for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
        std::ifstream children(task.path() / "children");
        for (pid_t child = 0; children >> child;) tree.push_back(child);
      }
    }
    return tree;
  }

  Instance instance_;
  const std::string marker_ = "marker" + random_hex(8);
};

// Answers "hello from the server" on port 8123 of the loopback until it is ended.
constexpr const char* kServe =
    "python3 -c \"import socket, os, sys\n"
    "listening = socket.create_server(('127.0.0.1', 8123))\n"
    "print('serving', flush=True)\n"
    "if os.fork(): sys.exit(0)\n"
    "os.setsid()\n"
    "for stream in (0, 1, 2): os.dup2(os.open('/dev/null', os.O_RDWR), stream)\n"
    "while True: listening.accept()[0].send(b'hello from the server')\"";
constexpr const char* kAsk =
    "python3 -c \"import socket; "
    "print(socket.create_connection(('127.0.0.1', 8123)).recv(100).decode())\"";

TEST_F(Warm, CommandsShareProcessesLoopbackAndTmp) {
  EXPECT_EQ(shell("s", std::string("echo kept > /tmp/file; ") + kServe).out, "serving\n");
  const Output next = shell("s", std::string("cat /tmp/file; ") + kAsk);
  EXPECT_EQ(next.out, "kept\nhello from the server\n") << next.err;
  ASSERT_EQ(sandboxes().size(), 1u);
  EXPECT_EQ(sandboxes()[0].at("session"), "s");
  EXPECT_EQ(sandboxes()[0].at("skill"), "agent");
  EXPECT_EQ(sandboxes()[0].at("commands"), 0);
  // PID 1, the keeper of the first command, the server, the keeper of the next, which waits.
  EXPECT_EQ(sandboxes()[0].at("processes"), 4);
  EXPECT_THAT(instance_.sc({"status"}).out, HasSubstr("warm"));
}

TEST_F(Warm, NobodyElseIsInASessionsSandbox) {
  instance_.approve_skill("any", kAnyProgram);
  shell("s", std::string("echo kept > /tmp/file; ") + kServe);
  for (const Output& other :
       {shell("other", std::string("cat /tmp/file; ") + kAsk),
        shell("s", std::string("cat /tmp/file; ") + kAsk, "any"),
        instance_.run({"/bin/bash", "-c", std::string("cat /tmp/file; ") + kAsk})}) {
    EXPECT_EQ(other.out, "");
    EXPECT_THAT(other.err, HasSubstr("ConnectionRefusedError"));
  }
  const Output elsewhere =
      instance_.sc({"run", "--session", "s", "--workspace", instance_.workspace() + ":ro", "--",
                    "/bin/cat", "/tmp/file"});
  EXPECT_EQ(elsewhere.out, "") << elsewhere.err;
}

TEST_F(Warm, AFreshCallLeavesNothing) {
  instance_.run({"/bin/bash", "-c", "(setsid sleep 100000 &) # " + marker_});
  wait_until([&] { return sandboxes("fresh").empty(); });
  EXPECT_TRUE(processes_with(marker_).empty());
}

TEST_F(Warm, ManyCommandsRunAtOnce) {
  std::vector<Process> running;
  for (int i = 0; i < 8; ++i) {
    running.push_back(
        instance_.spawn("sc", {"run", "--session", "s", "--", "/bin/bash", "-c",
                               "echo up; read line; echo $line; exit " + std::to_string(i)}));
  }
  for (Process& process : running) process.wait_for("up");
  ASSERT_EQ(sandboxes().size(), 1u);
  EXPECT_EQ(sandboxes()[0].at("commands"), 8);
  for (std::size_t i = running.size(); i-- > 0;) {
    running[i].write("line " + std::to_string(i) + "\n");
    const Output output = running[i].finish();
    EXPECT_THAT(output.out, HasSubstr("line " + std::to_string(i)));
    EXPECT_EQ(output.status, static_cast<int>(i));
  }
}

TEST_F(Warm, ACommandThatNoKernelCanExecuteLeavesNoSandbox) {
  rpc::Client client = instance_.client();
  for (const char* session : {"", "s"}) {
    Streams streams;
    Json more = Json::object();
    if (*session != '\0') more["session"] = session;
    const rpc::Error error = error_of([&] {
      exec_run(client, instance_, {"/bin/echo", std::string("a\0b", 3)}, streams, more);
    });
    EXPECT_THAT(error.message, HasSubstr("NUL"));
  }
  wait_until([&] { return sandboxes("fresh").empty(); });
  EXPECT_EQ(shell("s", "echo served").out, "served\n");
}

// Daemons that left session and group and whose parents are gone, as deep as it takes.
constexpr const char* kScatter =
    "for i in 1 2 3; do (setsid bash -c '(sleep 100000 & sleep 100000 &) ; sleep 100000' &); done; "
    "(trap '' TERM HUP INT; exec sleep 100000) & ";

TEST_F(Warm, ACancelledCommandTakesItsWholeTreeAndNothingElse) {
  shell("s", kServe);
  // And a keeper that has nothing left to keep.
  const auto after = sandboxes().at(0).at("processes").get<int>() + 1;
  Process client = instance_.spawn("sc", {"run", "--session", "s", "--", "/bin/bash", "-c",
                                          std::string(kScatter) + "echo up; wait; sleep 100000"});
  client.wait_for("up");
  client.signal(SIGKILL);
  wait_until([&] { return sandboxes().at(0).at("processes") == after; });
  EXPECT_EQ(shell("s", kAsk).out, "hello from the server\n");
  EXPECT_EQ(sandboxes().size(), 1u);
}

TEST_F(Warm, ATimeLimitTakesTheWholeTree) {
  const Output output =
      instance_.sc({"run", "--session", "s", "--timeout", "300ms", "--", "/bin/bash", "-c",
                    std::string(kScatter) + "while :; do :; done"});
  EXPECT_EQ(output.status, 124) << output.err;
  wait_until([&] { return sandboxes().at(0).at("processes") == 2; });
}

TEST_F(Warm, ACallLastsUntilItsLastProcessEnds) {
  shell("s", std::string("echo kept > /tmp/file; ") + kServe);
  const Json calls = instance_.status().at("calls");
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].at("state"), "returned");
  instance_.client().call("call.cancel", {{"call", calls[0].at("call")}});
  wait_until([&] { return instance_.status().at("calls").empty(); });
  EXPECT_THAT(shell("s", kAsk).err, HasSubstr("ConnectionRefusedError"));
  EXPECT_EQ(shell("s", "cat /tmp/file").out, "kept\n");
}

// Whoever kills the process that knows what belongs to a command gains nothing by it.
TEST_F(Warm, ACommandThatKillsItsKeeperEndsTheSandbox) {
  shell("s", "echo kept > /tmp/file");
  const Output output = shell("s", "(setsid sleep 100000 &); kill -9 $PPID; sleep 100000");
  EXPECT_EQ(output.status, 137) << output.err;
  wait_until([&] { return sandboxes().empty(); });
  EXPECT_NE(shell("s", "cat /tmp/file").status, 0);
}

TEST_F(Warm, AStoppedKeeperDoesNotHoldUpATimeLimit) {
  const Output output = instance_.sc({"run", "--session", "s", "--timeout", "300ms", "--",
                                      "/bin/bash", "-c", "kill -STOP $PPID; sleep 100000"});
  EXPECT_EQ(output.status, 124) << output.err;
  wait_until([&] { return sandboxes().empty(); });
}

// A deputy that does not answer would hold up all later commands of the session.
TEST_F(Warm, ADeputyThatDoesNotAnswerEndsTheSandbox) {
  Process command = instance_.spawn("sc", {"run", "--session", "s", "--", "/bin/bash", "-c",
                                           "mkdir /usr/refused 2> /dev/null; echo up; read line"});
  command.wait_for("up");
  std::size_t stopped = 0;
  for (const pid_t pid :
       tree_of(instance_.status().at("processes").at("launcher").at("pid").get<pid_t>())) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
    std::string name;
    std::getline(file, name);
    if (name == "sc-deputy" && ::kill(pid, SIGSTOP) == 0) ++stopped;
  }
  ASSERT_GT(stopped, 0u);
  command.write("go on\n");
  EXPECT_EQ(command.finish().status, 0);
  wait_until([&] { return sandboxes().empty(); });
  EXPECT_THAT(instance_.sc({"audit", "--json"}).out, HasSubstr("refused_unknown"));
  EXPECT_THAT(instance_.sc({"audit", "--blocked"}).out,
              HasSubstr("may have been refused what is not known: the process that"));
  EXPECT_EQ(shell("s", "echo next").out, "next\n");
}

TEST_F(Warm, AnotherWorkspaceAtTheSamePathIsAnotherSandbox) {
  shell("s", "echo kept > /tmp/file; echo old > file");
  std::filesystem::rename(instance_.workspace(), instance_.root() + "/moved");
  std::filesystem::create_directory(instance_.workspace());
  std::filesystem::permissions(instance_.workspace(), std::filesystem::perms::all);
  const Output next = shell("s", "cat file /tmp/file; echo new > file");
  EXPECT_EQ(next.out, "") << next.err;
  EXPECT_TRUE(std::filesystem::exists(instance_.workspace() + "/file"));
  wait_until([&] { return sandboxes().size() == 1; });
}

// A hook that a person made since would not be covered in the old one.
TEST_F(Warm, AFileThatRunsCodeLaterMakesAnotherSandboxWhenItAppears) {
  shell("s", "echo kept > /tmp/file");
  std::filesystem::create_directories(instance_.workspace() + "/.vscode");
  write_text(instance_.workspace() + "/.vscode/tasks.json", "{}");
  const Output next = shell("s", "cat /tmp/file; echo evil > .vscode/tasks.json");
  EXPECT_EQ(next.out, "");
  EXPECT_NE(next.status, 0);
  EXPECT_EQ(read_file(instance_.workspace() + "/.vscode/tasks.json", 64), "{}");
}

// It is the session's own, and its deputy knows it: no mount has to protect it.
TEST_F(Warm, ARepositoryThatASessionMakesAtTheTopStaysUsable) {
  const std::string init = "git init -q . && git config user.name pat && echo kept > /tmp/file";
  ASSERT_EQ(shell("s", init).status, 0);
  const Output next = shell(
      "s",
      "cat /tmp/file && git config user.email pat@example.org && git remote add o "
      "https://example.org/r && echo a > a && git add a && git commit -qm one && git log --oneline "
      "| wc -l");
  EXPECT_EQ(next.out, "kept\n1\n") << next.err;
  EXPECT_EQ(shell("s", "cat /tmp/file && git remote").out, "kept\no\n");
  EXPECT_NE(shell("s", "git config core.fsmonitor ./x").status, 0);
  EXPECT_NE(shell("s", "mkdir .git/hooks").status, 0);
  // To everybody else it is one that exists.
  EXPECT_NE(shell("t", "git remote add p https://example.org/p").status, 0);
  EXPECT_NE(shell("t", "rm .git/config").status, 0);
  EXPECT_EQ(shell("s", "cat /tmp/file").out, "kept\n");
}

// What the person makes beside it is not.
TEST_F(Warm, ARepositoryThatThePersonMakesAtTheTopIsNotTheSessions) {
  ASSERT_EQ(shell("s", "echo kept > /tmp/file").status, 0);
  const std::string git = "git -C " + instance_.workspace() + " ";
  ASSERT_EQ(std::system((git + "init -q").c_str()), 0);
  EXPECT_NE(shell("s", "git remote add p https://example.org/p").status, 0);
  EXPECT_NE(shell("s", "echo evil > .git/hooks/pre-commit").status, 0);
  EXPECT_NE(shell("s", "rm -f .git/config").status, 0);
}

// Without it a repository of the command's own could be made in its place.
TEST_F(Warm, TheGitFileOfAWorktreeStays) {
  const std::string file = instance_.workspace() + "/.git";
  write_text(file, "gitdir: /somewhere/else\n");
  EXPECT_NE(shell("s", "rm -f .git").status, 0);
  EXPECT_NE(shell("s", "mv .git other").status, 0);
  EXPECT_EQ(read_file(file, 64), "gitdir: /somewhere/else\n");
}

TEST_F(Warm, ARevocationEndsTheSkillsSandboxAndNoOther) {
  instance_.approve_skill("any", kAnyProgram);
  shell("s", "(setsid sleep 100000 > /dev/null 2>&1 &) # " + marker_, "any");
  shell("s", "echo kept > /tmp/file");
  ASSERT_EQ(sandboxes().size(), 2u);
  EXPECT_EQ(instance_.sc({"revoke", "any"}).status, 0);
  wait_until([&] { return sandboxes().size() == 1; });
  EXPECT_EQ(shell("s", "cat /tmp/file").out, "kept\n");
}

TEST_F(Warm, TheEndOfAHostsSessionEndsItsSandbox) {
  Host host(instance_, "chat");
  Streams streams;
  host.open(host.ticket_for("(setsid sleep 100000 &); echo kept > /tmp/file"), streams);
  wait_for(host.client(), "exec.exit");
  Streams next;
  host.open(host.ticket_for("cat /tmp/file"), next);
  EXPECT_EQ(next.read_out(), "kept\n");
  ASSERT_EQ(sandboxes().size(), 1u);
  EXPECT_EQ(sandboxes()[0].at("session"), "chat");
  host.client().call("session.close", {{"session", "chat"}});
  wait_until([&] { return sandboxes().empty(); });
}

TEST_F(Warm, ACallAllowedOnceIsFresh) {
  const std::string folder = instance_.write_skill("once", kAnyProgram);
  write_text(folder + "/say.sh", "#!/bin/sh\necho kept > /tmp/file\ncat /tmp/file\n");
  std::filesystem::permissions(folder + "/say.sh", std::filesystem::perms::all);
  ASSERT_EQ(instance_.sc({"skill", "add", folder}).status, 0);
  Host host(instance_, "chat");
  const std::string command = folder + "/say.sh";
  const Json verdict = host.authorize(command, {{"prompt", true}});
  ASSERT_EQ(verdict.at("verdict"), "ask");
  host.client().call("approval.resolve", {{"request", verdict.at("approval").at("request")},
                                          {"token", verdict.at("token")},
                                          {"decision", "allow-once"}});
  Streams streams;
  host.open(host.prepare(verdict.at("token"), command).at("ticket"), streams);
  EXPECT_EQ(streams.read_out(), "kept\n");
  EXPECT_TRUE(sandboxes().empty());
}

TEST_F(Warm, EndsWithTheSupervisor) {
  shell("s", "(setsid bash -c 'exec -a " + marker_ + " sleep 100000' > /dev/null 2>&1 &)");
  wait_until([&] { return !processes_with(marker_).empty(); });
  const std::vector<pid_t> left = processes_with(marker_);
  instance_.kill();
  for (const pid_t pid : left) wait_until_gone(pid);
}

// A sandbox that was made ahead shows what was there then.
TEST_F(Warm, APreparedSandboxIsUsedOnlyForWhatItWasMadeFrom) {
  instance_.run({"/bin/true"});
  wait_until([&] { return sandboxes("prepared").size() == 2; });
  EXPECT_EQ(instance_.run({"/bin/bash", "-c", "echo $$; echo made > file"}).out, "2\n");
  EXPECT_TRUE(std::filesystem::exists(instance_.workspace() + "/file"));
  wait_until([&] { return sandboxes("prepared").size() == 2; });
  std::filesystem::rename(instance_.workspace(), instance_.root() + "/moved");
  std::filesystem::create_directory(instance_.workspace());
  std::filesystem::permissions(instance_.workspace(), std::filesystem::perms::all);
  EXPECT_NE(instance_.run({"/bin/cat", "file"}).status, 0);
}

// Whatever dies, at a moment when there are fresh, warm and prepared sandboxes.
class WarmDeath : public Warm, public ::testing::WithParamInterface<const char*> {
 protected:
  static std::string mounts_below(const std::string& path) {
    std::ifstream mounts("/proc/self/mountinfo");
    std::string found;
    for (std::string line; std::getline(mounts, line);) {
      if (line.find(path) != std::string::npos) found += line + "\n";
    }
    return found;
  }
  // Of monitors of this launcher, in any hierarchy. One of another user is of an earlier process
  // with the same number.
  static std::vector<std::string> groups_of(pid_t launcher) {
    std::vector<std::string> found;
    const std::string prefix = "sharkcage-" + std::to_string(launcher) + "-";
    const auto skip = std::filesystem::directory_options::skip_permission_denied;
    std::error_code error;
    for (std::filesystem::recursive_directory_iterator entry("/sys/fs/cgroup", skip, error), end;
         !error && entry != end; entry.increment(error)) {
      const std::string name = entry->path().filename().string();
      struct stat status {};
      if (name.starts_with(prefix) && ::stat(entry->path().c_str(), &status) == 0 &&
          status.st_uid == ::geteuid()) {
        found.push_back(entry->path().string());
      }
    }
    return found;
  }
};
INSTANTIATE_TEST_SUITE_P(Of, WarmDeath,
                         ::testing::Values("client", "monitor", "launcher", "supervisor"),
                         [](const auto& param) { return std::string(param.param); });

TEST_P(WarmDeath, LeavesNothingBehind) {
  const std::string victim = GetParam();
  instance_.run({"/bin/true"});
  wait_until([&] { return sandboxes("prepared").size() == 2; });
  shell("s", kServe);
  Process client = instance_.spawn("sc", {"run", "--session", "s", "--", "/bin/bash", "-c",
                                          std::string(kScatter) + "echo up; wait"});
  client.wait_for("up");
  const auto launcher = instance_.status().at("processes").at("launcher").at("pid").get<pid_t>();
  const std::vector<pid_t> before = tree_of(launcher);
  const std::string mounts = mounts_below(instance_.root());
  // The launcher's children are monitors, the first one that of the warm sandbox.
  const pid_t monitor = before.at(1);
  const pid_t killed = victim == "client"     ? client.pid()
                       : victim == "monitor"  ? monitor
                       : victim == "launcher" ? launcher
                                              : instance_.supervisor();
  const std::vector<pid_t> doomed = victim == "monitor" ? tree_of(monitor) : before;
  ASSERT_EQ(::kill(killed, SIGKILL), 0);
  if (victim == "client") {
    // What the command left and nothing else: the server of the call before stays.
    wait_until([&] { return sandboxes().at(0).at("commands") == 0; });
    wait_until([&] { return instance_.status().at("calls").size() == 1; });
    EXPECT_EQ(shell("s", kAsk).out, "hello from the server\n");
    return;
  }
  for (const pid_t pid : doomed) wait_until_gone(pid);
  if (victim == "supervisor") instance_.kill();
  EXPECT_EQ(mounts_below(instance_.root()), mounts);
  if (victim == "supervisor") instance_.start();
  // Control groups go at the latest when a launcher starts.
  if (victim != "monitor") {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (instance_.run({"/bin/true"}).status != 0) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    }
    EXPECT_THAT(groups_of(launcher), ::testing::IsEmpty());
  }
  EXPECT_THAT(shell("s", kAsk).err, HasSubstr("ConnectionRefusedError"));
}

class WarmLimits : public Warm {
 protected:
  WarmLimits() : Warm(R"({"warm": {"sandboxes": 1, "idle": "300ms"}})") {}
};

TEST_F(WarmLimits, AnIdleSandboxEnds) {
  shell("s", "(setsid bash -c 'exec -a " + marker_ + " sleep 100000' > /dev/null 2>&1 &)");
  wait_until([&] { return sandboxes().empty(); });
  EXPECT_TRUE(processes_with(marker_).empty());
}

TEST_F(WarmLimits, ACommandThatRunsIsNotIdle) {
  Process client = instance_.spawn(
      "sc", {"run", "--session", "s", "--", "/bin/bash", "-c", "echo up; sleep 1; echo down"});
  client.wait_for("up");
  const Output other = shell("other", "echo other");
  EXPECT_EQ(other.status, 125);
  EXPECT_THAT(other.err, HasSubstr("warm.sandboxes"));
  EXPECT_THAT(client.finish().out, HasSubstr("down"));
  // The one that is idle makes room.
  EXPECT_EQ(shell("other", "echo other").out, "other\n");
}

class WarmOff : public Warm {
 protected:
  WarmOff() : Warm(R"({"warm": {"sandboxes": 0}})") {}
};

TEST_F(WarmOff, EveryCallIsFresh) {
  shell("s", "echo kept > /tmp/file");
  EXPECT_NE(shell("s", "cat /tmp/file").status, 0);
  EXPECT_TRUE(sandboxes().empty());
}

// What is protected is covered when a sandbox is made; what comes to be later is in no warm one.
TEST(WarmProtected, AProtectedPathThatAppearsIsInNoLaterCommand) {
  Instance instance;
  const std::string secret = instance.workspace() + "/secret";
  instance.configure(Json{{"protected_paths", {secret}}}.dump());
  instance.start();
  const std::vector<std::string> command = {"run", "--session",          "s", "--", "/bin/bash",
                                            "-c",  "cat secret; echo $?"};
  EXPECT_EQ(instance.sc(command).out, "1\n");
  write_text(secret, "the key");
  EXPECT_EQ(instance.sc(command).out, "1\n");
}

}  // namespace
}  // namespace sharkcage::testing
