// sc run on a terminal: the command has one of its own, and the person does not notice.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "tests/integration/instance.h"

namespace sharkcage::testing {
namespace {

constexpr const char* kCtrlC = "\x03";
constexpr const char* kCtrlZ = "\x1a";

// A person's terminal with `sc run` in it. What is typed is also shown, so what is waited for must
// not stand in it as it is.
class Screen {
 public:
  Screen(const Instance& instance, const std::vector<std::string>& arguments) {
    const winsize size{30, 90, 0, 0};
    int master = -1;
    pid_ = ::forkpty(&master, nullptr, nullptr, &size);
    if (pid_ == 0) become(instance, arguments);
    if (pid_ < 0) throw std::runtime_error("forkpty");
    master_.reset(master);
  }
  ~Screen() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  void type(std::string_view text) { write_all(master_.get(), text); }
  void resize(unsigned short rows, unsigned short columns) {
    const winsize size{rows, columns, 0, 0};
    ASSERT_EQ(::ioctl(master_.get(), TIOCSWINSZ, &size), 0);
  }
  // Until `text` has come after what was waited for before.
  void wait_for(const std::string& text) {
    std::size_t found;
    while ((found = shown_.find(text, seen_)) == std::string::npos) {
      if (!read_more()) throw std::runtime_error("no \"" + text + "\" in: " + shown_);
    }
    seen_ = found + text.size();
  }
  const std::string& shown() const { return shown_; }
  // Whether keys are taken a line at a time, as a shell leaves a terminal.
  bool in_line_mode() const {
    termios mode{};
    return ::tcgetattr(master_.get(), &mode) == 0 && (mode.c_lflag & ICANON) != 0;
  }
  // The exit status of sc run, or 1000 and its signal.
  int finish() {
    while (read_more()) continue;
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

 private:
  [[noreturn]] static void become(const Instance& instance,
                                  const std::vector<std::string>& arguments) {
    ::setenv("SHARKCAGE_HOME", (instance.root() + "/cage").c_str(), 1);
    ::setenv("TERM", "xterm-256color", 1);
    if (::chdir(instance.workspace().c_str()) != 0) ::_exit(99);
    std::string program = std::string(SHARKCAGE_PROGRAMS) + "/sc";
    std::vector<std::string> words = {"sc", "run"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    ::execv(program.c_str(), argv.data());
    ::_exit(99);
  }

  bool read_more() {
    wait_readable(master_.get(), "sc run on a terminal, which showed: " + shown_);
    char block[4096];
    const ssize_t got = ::read(master_.get(), block, sizeof block);
    if (got <= 0) return false;  // EIO: nobody has the terminal any more
    shown_.append(block, static_cast<std::size_t>(got));
    return true;
  }

  pid_t pid_ = -1;
  UniqueFd master_;
  std::string shown_;
  std::size_t seen_ = 0;
};

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
