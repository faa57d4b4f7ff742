// sc run as a job of an interactive shell: stopped, continued, in the background, killed.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/integration/screen.h"

namespace sharkcage::testing {
namespace {

constexpr const char* kCtrlD = "\x04";
constexpr const char* kCtrlZ = "\x1a";

class Jobs : public ::testing::Test {
 protected:
  Jobs() { instance_.start(); }
  std::string state() const { return instance_.status().at("calls").at(0).at("state"); }
  Instance instance_;
};

TEST_F(Jobs, CtrlZStopsTheWholeCall) {
  Screen shell(instance_);
  shell.type(
      "sc run -- bash -c 'echo up\"\"on; read line; echo go\"\"t $line'; echo en\"\"ded $?\n");
  shell.wait_for("upon");
  EXPECT_FALSE(shell.in_line_mode());
  shell.type(kCtrlZ);
  shell.wait_for("Stopped");
  EXPECT_TRUE(shell.in_line_mode());
  EXPECT_EQ(state(), "stopped");
  // The shell has the keys.
  shell.type("echo from the she\"\"ll\n");
  shell.wait_for("from the shell");
  shell.type("fg\n");
  shell.type("a line\n");
  shell.wait_for("got a line");
}

TEST_F(Jobs, AStoppedCallGoesOnInTheBackground) {
  Screen shell(instance_);
  shell.type(
      "sc run -- bash -c 'echo up\"\"on; sleep 1; echo still he\"\"re; read line; echo go\"\"t "
      "$line'\n");
  shell.wait_for("upon");
  shell.type(kCtrlZ);
  shell.wait_for("Stopped");
  shell.type("bg\n");
  shell.wait_for("still here");
  // It wants to read now.
  shell.wait_for("Stopped");
  shell.type("fg\n");
  shell.type("a line\n");
  shell.wait_for("got a line");
}

TEST_F(Jobs, StartInTheBackground) {
  Screen shell(instance_);
  shell.type("sc run -- bash -c 'echo with\"\"out keys' & wait; echo st\"\"atus $?\n");
  shell.wait_for("without keys");
  shell.wait_for("status 0");
  shell.type("sc run -- bash -c 'stty -echo; read line; echo go\"\"t $line' &\n");
  shell.wait_for("Stopped");
  shell.type("fg\n");
  shell.type("a line\n");
  shell.wait_for("got a line");
}

TEST_F(Jobs, AStoppedOneCanBeKilled) {
  Screen shell(instance_);
  shell.type("sc run -- cat & sc run -- sleep 100000\n");
  shell.wait_for("Stopped");
  shell.type(kCtrlZ);
  shell.wait_for("Stopped");
  shell.type("kill %1 %2\n");
  shell.wait_for("Exit 143");
  shell.wait_for("Exit 143");
}

// Not a terminal of its own, but started from one.
TEST_F(Jobs, CtrlZStopsACallInAPipeline) {
  Screen shell(instance_);
  shell.type(
      "sc run -- bash -c 'echo up\"\"on; for ((i = 0;; ++i)); do echo $i > n; mv n time; done' | "
      "cat\n");
  shell.wait_for("upon");
  shell.type(kCtrlZ);
  shell.wait_for("Stopped");
  // The shell hears of sc first, and of the command nobody tells it.
  shell.type(
      "until [ \"$(cat time)\" = \"$(sleep 0.3; cat time)\" ]; do :; done; echo st\"\"ill; bg\n");
  shell.wait_for("still");
  shell.type(
      "until [ \"$(cat time)\" != \"$(sleep 0.1; cat time)\" ]; do :; done; echo go\"\"es\n");
  shell.wait_for("goes");
}

TEST_F(Jobs, TheKeysOfTheShellAreNotReadFromTheBackground) {
  Screen shell(instance_);
  shell.type("sc run -- cat > out &\n");
  shell.type("echo for the she\"\"ll\n");
  shell.wait_for("for the shell");
  shell.type("fg\n");
  shell.type("for the command\n");
  shell.wait_for("for the command");
  shell.type(kCtrlD);
  shell.type("cat out; echo th\"\"at was all\n");
  shell.wait_for("for the command");
  shell.wait_for("that was all");
}

// It is no more hung up on than under a shell, and nothing that it writes makes it wait.
TEST_F(Jobs, WhatStaysInASessionOutlivesItsTerminal) {
  Screen screen(
      instance_,
      {"--session", "s", "--", "/bin/bash", "-c",
       "(sleep 0.3; head -c 1000000 /dev/zero | tr '\\0' x; touch written) & echo st\"\"arted"});
  screen.wait_for("started");
  EXPECT_EQ(screen.finish(), 0) << screen.shown();
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!std::filesystem::exists(instance_.workspace() + "/written")) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  }
  // The keeper takes another command, with another terminal.
  Screen next(instance_, {"--session", "s", "--", "/bin/bash", "-c", "tty; stty size"});
  next.wait_for("30 90");
  EXPECT_EQ(next.finish(), 0) << next.shown();
}

}  // namespace
}  // namespace sharkcage::testing
