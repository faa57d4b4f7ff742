// A program as a child of the test, with its streams in pipes.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"

namespace sharkcage::testing {

// How long anything may take before it counts as hung: generous, since sanitizers and a loaded
// machine are slow. No test waits for it to pass.
inline constexpr std::chrono::seconds kPatience{60};

// Waits until `fd` is readable (or at its end). Throws std::runtime_error, naming `what`, after
// kPatience.
void wait_readable(int fd, std::string_view what);

// Waits until the process has ended. Nothing to wait for where it is gone already.
void wait_until_gone(pid_t pid);
bool is_alive(pid_t pid);

// What a program wrote, and its exit status or 128 + its signal.
struct Output {
  int status = -1;
  std::string out;
  std::string err;
};

class Process {
 public:
  struct Options {
    std::map<std::string, std::string> environment;  // the whole of it
    std::string directory;                           // empty: the test's
    std::function<void()> before_exec;               // in the child: only system calls
  };

  // Throws system_error. A program that cannot be executed exits with 127.
  Process(const std::vector<std::string>& argv, const Options& options);
  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;
  // Kills and reaps what still runs.
  ~Process();

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  void write(std::string_view text) { write_all(in_.get(), text); }
  // Reads stdout until `text` has come, and returns all of it so far; throws std::runtime_error
  // with what came instead.
  std::string wait_for(std::string_view text);
  // Closes stdin, reads both streams to their ends, reaps.
  Output finish();

 private:
  void kill_and_reap();

  pid_t pid_ = -1;
  UniqueFd in_;
  UniqueFd out_;
  UniqueFd err_;
  Output output_;
};

// Runs `body` in a forked child and returns what it returns: for a part of a test that needs
// another identity or other namespaces. What it throws comes back as "threw: …".
std::string in_child(const std::function<std::string()>& body);

// Process ids of everything on this machine with `marker` in its arguments, but for programs named
// `except`.
std::vector<pid_t> processes_with(std::string_view marker, std::string_view except = {});

}  // namespace sharkcage::testing
