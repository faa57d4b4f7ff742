// sc run on a terminal: the command has one of its own, and the person does not notice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/integration/screen.h"

namespace sharkcage::testing {
namespace {

constexpr const char* kCtrlC = "\x03";
constexpr const char* kCtrlZ = "\x1a";

class Terminal : public ::testing::Test {
 protected:
  Terminal() { instance_.start(); }
  Instance instance_;
};

TEST_F(Terminal, AShellHasJobControl) {
  Screen screen(instance_, {"--", "/bin/bash", "--norc", "-i"});
  screen.type("bash -c 'echo fore\"\"ground; read line; echo go\"\"t $line'\n");
  screen.wait_for("foreground");
  screen.type(kCtrlZ);
  screen.wait_for("Stopped");
  screen.type("jobs; echo do\"\"ne\n");
  screen.wait_for("Stopped");
  screen.wait_for("done");
  screen.type("bg\n");
  screen.wait_for("' &");
  // It reads, which a job in the background may not; the signal for that must not come after fg's.
  screen.type("until jobs | grep -q Stopped; do :; done; echo stopped a\"\"gain\n");
  screen.wait_for("stopped again");
  screen.type("fg\n");
  screen.type("a line\n");
  screen.wait_for("got a line");
  screen.type("exit 5\n");
  EXPECT_EQ(screen.finish(), 5) << screen.shown();
}

TEST_F(Terminal, CtrlCInterruptsTheCommand) {
  Screen screen(instance_, {"--", "/bin/bash", "-c", "echo read\"\"y; exec sleep 100000"});
  screen.wait_for("ready");
  screen.type(kCtrlC);
  EXPECT_EQ(screen.finish(), 128 + SIGINT) << screen.shown();
}

TEST_F(Terminal, TheWindowsSizeIsPassedOn) {
  Screen screen(instance_, {"--", "/bin/bash", "-c",
                            "stty size; trap 'stty size; exit 0' WINCH; echo ready; "
                            "while :; do read -t 0.05 < /dev/zero; done"});
  screen.wait_for("30 90");
  screen.wait_for("ready");
  screen.resize(41, 120);
  screen.wait_for("41 120");
  EXPECT_EQ(screen.finish(), 0) << screen.shown();
}

TEST_F(Terminal, ProgramsUseColours) {
  write_text(instance_.workspace() + "/file", "a needle\n");
  Screen screen(instance_, {"--", "/bin/bash", "-c", "grep --color=auto needle file; echo $TERM"});
  screen.wait_for("\x1b[");
  screen.wait_for("xterm-256color");
  EXPECT_EQ(screen.finish(), 0) << screen.shown();
}

TEST_F(Terminal, IsAsItWasAfterTheCommand) {
  Screen screen(instance_,
                {"--", "/bin/bash", "-c", "stty raw -echo; echo ready; read -n 1; exit 3"});
  screen.wait_for("ready");
  EXPECT_FALSE(screen.in_line_mode());
  screen.type("x");
  EXPECT_EQ(screen.finish(), 3) << screen.shown();
  EXPECT_TRUE(screen.in_line_mode());
}

TEST_F(Terminal, EachCommandOfASessionHasItsOwn) {
  const std::vector<std::string> command = {
      "--session", "s", "--", "/bin/bash", "-c", "tty; read line; echo go\"\"t $line"};
  Screen first(instance_, command);
  first.wait_for("/dev/pts/0");
  Screen second(instance_, command);
  second.wait_for("/dev/pts/1");
  first.type("one\n");
  first.wait_for("got one");
  second.type("two\n");
  second.wait_for("got two");
  EXPECT_EQ(first.finish(), 0) << first.shown();
  EXPECT_EQ(second.finish(), 0) << second.shown();
}

// A terminal window that is closed takes the command with it.
TEST_F(Terminal, ItsEndEndsTheCommand) {
  {
    Screen screen(instance_, {"--session", "s", "--", "/bin/bash", "-c",
                              "trap '' HUP; (setsid sleep 100000 &); echo ready; sleep 100000"});
    screen.wait_for("ready");
  }
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!instance_.status().at("calls").empty()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  }
}

}  // namespace
}  // namespace sharkcage::testing
