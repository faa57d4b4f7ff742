// A command in a sandbox behaves as it does outside: output, status, signals, terminal, limits.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "capabilities/caught.h"
#include "tests/unit/sandbox/sandbox_fixture.h"

namespace sharkcage::sandbox::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;

class Command : public Sandbox {};
INSTANTIATE_TEST_SUITE_P(Install, Command, ::testing::ValuesIn(installs()), name_of);

TEST_P(Command, RunsTrue) {
  const Outcome outcome = run(spec({"/bin/true"}));
  EXPECT_EQ(outcome.exit, 0) << outcome.text();
  EXPECT_TRUE(outcome.ready);
}

TEST_P(Command, PassesStdioOn) {
  const Outcome outcome = run(spec({"bash", "-c", "cat; echo oops >&2"}), "hello\n");
  EXPECT_EQ(outcome.out, "hello\n") << outcome.text();
  EXPECT_EQ(outcome.err, "oops\n");
}

TEST_P(Command, ExitsWithItsOwnStatus) {
  EXPECT_EQ(shell("exit 42").exit, 42);
  EXPECT_EQ(shell("kill -SEGV $$").signal, SIGSEGV);
}

TEST_P(Command, ReportsAMissingProgramAsAShellDoes) {
  const Outcome outcome = run(spec({"no-such-program"}));
  EXPECT_EQ(outcome.exit, 127) << outcome.text();
  EXPECT_EQ(outcome.err, "sharkcage: no-such-program: no such program in the sandbox\n");
}

TEST_P(Command, ReportsAFileThatIsNotExecutableAsAShellDoes) {
  write("home/workspace/data", "text", 0644);
  EXPECT_EQ(run(spec({workspace_ + "/data"})).exit, 126);
}

TEST_P(Command, RunsAScriptWithoutInterpreterLineInTheShell) {
  write("home/workspace/script", "echo ran $1\n", 0755);
  EXPECT_EQ(run(spec({"./script", "well"})).out, "ran well\n");
}

TEST_P(Command, KeepsBytesThatAreNotText) {
  const std::string bytes = "\xff\xfe\x80 \x01";
  Trial call = spec({"/bin/sh", "-c", "printf %s \"$1$VALUE\"", "sh", bytes});
  call.environment.push_back("VALUE=" + bytes);
  EXPECT_EQ(run(call).out, bytes + bytes);
}

TEST_P(Command, GetsExactlyItsEnvironment) {
  Trial call = spec({"/usr/bin/env"});
  call.environment = {"B=2", "A=1"};
  EXPECT_EQ(run(call).out, "B=2\nA=1\n");
}

TEST_P(Command, StartsInItsWorkingDirectory) {
  EXPECT_EQ(shell("pwd").out, workspace_ + "\n");
}

TEST_P(Command, IsNotExecutedWhenItsGateIsClosed) {
  Call call(launcher(), spec({"bash", "-c", "echo ran; touch ran"}));
  call.start_at_gate().reset();
  const Outcome outcome = call.finish();
  EXPECT_EQ(outcome.exit, std::nullopt) << outcome.text();
  EXPECT_EQ(outcome.out, "");
  EXPECT_FALSE(std::filesystem::exists(workspace_ + "/ran"));
}

TEST_P(Command, IsNotRunWithoutItsWorkingDirectory) {
  Trial call = spec({"true"});
  call.workdir = "/no/such/directory";
  const Outcome outcome = run(call);
  EXPECT_THAT(outcome.failed, HasSubstr("/no/such/directory")) << outcome.text();
  EXPECT_FALSE(outcome.remedy.empty());
}

TEST_P(Command, HasThePersonsNameAndHome) {
  EXPECT_EQ(shell("id -un; id -u; cd; pwd").out,
            "pat\n" + std::to_string(person_uid()) + "\n" + home_ + "\n");
}

TEST_P(Command, HasOnlyTheThreeStandardDescriptors) {
  // 3 is the directory that the shell reads for the pattern.
  EXPECT_EQ(shell("cd /proc/$$/fd && echo *").out, "0 1 2 3\n");
}

TEST_P(Command, GetsSignals) {
  Call call(launcher(), spec({"bash", "-c",
                              "trap 'echo caught; exit 7' TERM; echo up; while :; do "
                              "read -t 0.05 < /dev/zero; done"}));
  call.start();
  call.wait_for_output("up");
  ASSERT_TRUE(call.signal(SIGTERM));
  const Outcome outcome = call.finish();
  EXPECT_EQ(outcome.exit, 7) << outcome.text();
  EXPECT_EQ(outcome.out, "up\ncaught\n");
}

TEST_P(Command, HasNoSignalBlockedOrIgnored) {
  EXPECT_EQ(shell("grep -E '^Sig(Blk|Ign)' /proc/self/status").out,
            "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_P(Command, EndsAtItsTimeLimitThoughItIgnoresSignals) {
  Trial call = spec({"bash", "-c", "trap '' TERM INT HUP; echo up; while :; do :; done"});
  call.policy.limits.wall = 300ms;
  const Outcome outcome = run(call);
  EXPECT_EQ(outcome.signal, SIGKILL) << outcome.text();
  EXPECT_EQ(outcome.reason, "wall");
  EXPECT_GE(outcome.wall_us, 300'000u);
}

TEST_P(Command, EndsWhenItIsKilled) {
  Call call(launcher(), spec({"bash", "-c", "echo up; sleep 1000"}));
  call.start();
  call.wait_for_output("up");
  ASSERT_TRUE(order_kill(call.control(), "cancelled"));
  const Outcome outcome = call.finish();
  EXPECT_EQ(outcome.signal, SIGKILL) << outcome.text();
  EXPECT_EQ(outcome.reason, "cancelled");
}

TEST_P(Command, TakesItsBackgroundProcessesWithIt) {
  // The background process holds standard output open: `finish` would wait for its 1000 s.
  const Outcome outcome = shell("(trap '' TERM HUP; sleep 1000) & setsid sleep 1000 & exit 3");
  EXPECT_EQ(outcome.exit, 3) << outcome.text();
}

TEST_P(Command, IsMeasured) {
  const Outcome outcome = shell("for ((i = 0; i < 200000; i++)); do :; done");
  EXPECT_EQ(outcome.exit, 0) << outcome.text();
  EXPECT_GT(outcome.cpu_us, 1000u);
  EXPECT_GT(outcome.wall_us, 1000u);
  EXPECT_GT(outcome.max_rss, 1u << 20);
}

TEST_P(Command, IsHeldToItsLimits) {
  Trial call = spec({"bash", "-c", "ulimit -n; ulimit -u; ulimit -c; ulimit -Hn"});
  call.policy.limits.open_files = 100;
  call.policy.limits.pids = 50;
  // Room for processes of ours beside the command's.
  EXPECT_EQ(run(call).out, "100\n66\n0\n100\n");
}

TEST_P(Command, CannotForkBeyondItsLimitOfProcesses) {
  Trial call = spec({"bash", "-c", "for i in {1..40}; do sleep 100 & done; echo end"});
  call.policy.limits.pids = 20;
  const Outcome outcome = run(call);
  EXPECT_THAT(outcome.err, HasSubstr("fork")) << outcome.text();
}

TEST_P(Command, CannotFillMoreThanItsLimitOfTmp) {
  Trial call = spec({"bash", "-c", "head -c 3000000 /dev/zero > /tmp/a; wc -c < /tmp/a"});
  call.policy.limits.tmp = 1 << 20;
  EXPECT_THAT(run(call).out, HasSubstr("1048576"));
}

TEST_P(Command, HasATerminalOfItsOwn) {
  Trial call_spec = spec({"bash", "-c",
                          "tty; stty size; test -t 0 && test -t 1 && test -t 2 && "
                          "echo typed > /dev/tty"});
  call_spec.terminal = {true, 33, 101};
  Call call(launcher(), call_spec);
  call.start_on_terminal();
  const Event terminal = call.wait_for(Event::Kind::kTerminal);
  ASSERT_TRUE(terminal.terminal);
  std::string shown;
  char block[1024];
  // EIO is the end of a terminal.
  for (ssize_t got; (got = ::read(terminal.terminal.get(), block, sizeof block)) > 0;) {
    shown.append(block, static_cast<std::size_t>(got));
  }
  EXPECT_EQ(shown, "/dev/pts/0\r\n33 101\r\ntyped\r\n");
  EXPECT_EQ(call.finish().exit, 0);
}

TEST_P(Command, IsInterruptedByItsTerminal) {
  Trial call_spec = spec({"bash", "-c",
                          "trap 'echo interrupted; exit 5' INT; echo up; while :; do "
                          "read -t 0.05 < /dev/zero; done"});
  call_spec.terminal.enabled = true;
  Call call(launcher(), call_spec);
  call.start_on_terminal();
  const Event terminal = call.wait_for(Event::Kind::kTerminal);
  std::string shown;
  char block[1024];
  bool typed = false;
  for (ssize_t got; (got = ::read(terminal.terminal.get(), block, sizeof block)) > 0;) {
    shown.append(block, static_cast<std::size_t>(got));
    if (!typed && shown.find("up") != std::string::npos) {
      typed = ::write(terminal.terminal.get(), "\x03", 1) == 1;
    }
  }
  EXPECT_THAT(shown, HasSubstr("interrupted"));
  EXPECT_EQ(call.finish().exit, 5);
}

TEST_P(Command, HasAListenerForItsProxyOnlyWithANetwork) {
  const std::string probe = "exec 3<>/dev/tcp/127.0.0.1/18800 && echo connected";
  Call without(launcher(), spec({"bash", "-c", probe}));
  // For names, and the link that tells who asks.
  EXPECT_EQ(without.wait_for(Event::Kind::kReady).network.size(), 2u);
  without.start();
  EXPECT_THAT(without.finish().out, Not(HasSubstr("connected")));

  Trial networked = spec({"bash", "-c", probe + "; read -r answer <&3; echo $answer"});
  networked.policy.hosts = {{"example.org", 443, false}};
  Call with(launcher(), networked);
  const Event ready = with.wait_for(Event::Kind::kReady);
  ASSERT_EQ(ready.network.size(), kNetworkFds);
  with.start();
  with.wait_for_output("connected");
  const UniqueFd peer(::accept4(ready.network[kProxyFd].get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(peer);
  write_all(peer.get(), "from outside\n");
  EXPECT_EQ(with.finish().out, "connected\nfrom outside\n");
}

TEST_P(Command, CanServeAndConnectOnItsOwnLoopback) {
  EXPECT_TRUE(
      holds("python3 - <<'E'\nimport socket\ns = socket.create_server(('127.0.0.1', 0))\n"
            "c = socket.create_connection(s.getsockname())\nassert s.accept()\nE"));
}

// A socket would be a way out that is not counted, and takes descriptors.
TEST_P(Command, ReadsFromASocketAndWritesNothingToIt) {
  Call call(launcher(),
            spec({"/bin/bash", "-c",
                  "echo out 2> /dev/null >&0 || echo refused; test -p /dev/stdin && echo pipe; "
                  "wc -c; exit 3"}));
  const UniqueFd client = call.start_on_socket();
  const std::string text(300'000, 'x');
  write_all(client.get(), text);
  ASSERT_EQ(::shutdown(client.get(), SHUT_WR), 0);
  const Outcome outcome = call.finish();
  EXPECT_EQ(outcome.out, "refused\npipe\n300000\n") << outcome.text();
  EXPECT_EQ(outcome.exit, 3);
  char byte;
  EXPECT_EQ(::recv(client.get(), &byte, 1, 0), 0);
}

// It does not read it, and nobody waits for that.
TEST_P(Command, LeavesASocketUnread) {
  Call call(launcher(), spec({"/bin/sh", "-c", "sleep 1000 & echo done"}));
  const UniqueFd client = call.start_on_socket();
  EXPECT_EQ(call.finish().out, "done\n");
  char byte;
  EXPECT_EQ(::recv(client.get(), &byte, 1, 0), 0);
}

}  // namespace
}  // namespace sharkcage::sandbox::testing
