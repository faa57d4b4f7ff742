// A terminal as a person sits at one.
#pragma once

#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/integration/instance.h"

namespace sharkcage::testing {

// A person's terminal with `sc run`, or a shell, in it. What is typed is also shown, so what is
// waited for must not stand in it as it is.
class Screen {
 public:
  Screen(const Instance& instance, const std::vector<std::string>& arguments)
      : Screen(instance, std::string(SHARKCAGE_PROGRAMS) + "/sc", words_of(arguments)) {}
  // An interactive shell that says at once what its jobs do.
  explicit Screen(const Instance& instance)
      : Screen(instance, "/bin/bash", {"bash", "--norc", "--noediting", "-i"}) {
    type("set -b; PS1=; PATH=" + std::string(SHARKCAGE_PROGRAMS) + ":$PATH; echo re\"\"ady\n");
    wait_for("ready");
  }
  Screen(const Instance& instance, const std::string& program, std::vector<std::string> words) {
    const winsize size{30, 90, 0, 0};
    int master = -1;
    pid_ = ::forkpty(&master, nullptr, nullptr, &size);
    if (pid_ == 0) become(instance, program, words);
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
  static std::vector<std::string> words_of(const std::vector<std::string>& arguments) {
    std::vector<std::string> words = {"sc", "run"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return words;
  }

  [[noreturn]] static void become(const Instance& instance, const std::string& program,
                                  std::vector<std::string>& words) {
    ::setenv("SHARKCAGE_HOME", (instance.root() + "/cage").c_str(), 1);
    ::setenv("TERM", "xterm-256color", 1);
    if (::chdir(instance.workspace().c_str()) != 0) ::_exit(99);
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

}  // namespace sharkcage::testing
