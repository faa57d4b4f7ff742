// Runs programs in real sandboxes, through the real launcher, as a privileged and as a user
// install.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "supervisor/sandbox/launcher_client.h"

namespace sharkcage::sandbox::testing {

enum class Install { kPrivileged, kUser };

// The installs that this process can test: both as root, else its own.
std::vector<Install> installs();
std::string name_of(const ::testing::TestParamInfo<Install>& info);

// A sandbox and the one command that is to run in it. Its time limit is the policy's.
struct Trial : Spec, Command {};

struct Outcome {
  bool ready = false;
  std::optional<int> exit;
  int signal = 0;
  std::string reason;
  std::string failed;  // "what" of a failed event
  std::string remedy;
  std::string out;
  std::string err;
  std::uint64_t wall_us = 0;
  std::uint64_t cpu_us = 0;
  std::uint64_t max_rss = 0;
  std::vector<Refusal> refused;
  std::string refused_unknown;
  std::vector<Refusal> limits;

  // "write /etc/passwd" for each refusal, "rename /a -> /b" for those with two paths.
  std::vector<std::string> refusals() const;
  // The same without what is hidden, of which the supervisor asks first whether it exists.
  std::vector<std::string> told() const;
  std::string text() const;
};

// One call under way.
class Call {
 public:
  Call(Launcher& launcher, const Trial& trial);

  // Waits for the next event of this kind and returns it; what comes before is recorded. Fails the
  // test when it does not come.
  Event wait_for(Event::Kind kind);
  // Starts the trial's command, with pipes: an empty standard input unless `input` is set.
  void start(const std::string& input = "");
  // The same with a socket as standard input, of which the other end is returned.
  UniqueFd start_on_socket();
  // The same as `start`, but for its execution; returns the gate.
  UniqueFd start_at_gate(const std::string& input = "");
  // Starts it with a terminal.
  void start_on_terminal();
  // Reads until everything has ended.
  Outcome finish();

  int control() const { return control_.get(); }
  bool signal(int number) { return order_signal(control_.get(), kCommand, number); }
  void hang_up() { control_.reset(); }
  // Reads standard output until `marker` has appeared.
  void wait_for_output(const std::string& marker);

 private:
  static constexpr std::uint64_t kCommand = 1;
  UniqueFd start_with(int input);
  bool pump(std::chrono::steady_clock::time_point deadline);
  void record(Event event);

  const Trial trial_;
  UniqueFd control_;
  UniqueFd out_;
  UniqueFd err_;
  std::vector<Event> events_;
  bool ended_ = false;
  Outcome outcome_;
};

// The process of this name that descends from `launcher`, or 0.
pid_t descendant(pid_t launcher, const std::string& name);

class Sandbox : public ::testing::TestWithParam<Install> {
 protected:
  Sandbox();
  ~Sandbox() override;

  bool privileged() const { return GetParam() == Install::kPrivileged; }
  Launcher& launcher();
  // A launcher of this test's own, for tests that kill it.
  Launcher own_launcher() const;

  // A trial with a workspace (working directory), a private home, any program.
  Trial spec(std::vector<std::string> argv) const;
  static Trial& scoped(Trial& trial, std::vector<std::string> programs);
  void grant(Spec& spec, const std::string& path, Access access) const;

  Outcome run(const Trial& trial, const std::string& input = "");
  Outcome shell(const std::string& line) { return run(spec({"/bin/bash", "-c", line})); }

  // Whether the root is one that records what is missing: not everybody may open /dev/fuse.
  bool has_facade() { return shell("stat -f -c %t /").out == "65735546\n"; }

  // Succeeds when the line exits with 0; the message holds its output.
  ::testing::AssertionResult holds(const std::string& line);
  ::testing::AssertionResult holds(const Trial& trial);

  // The person whose files these are.
  uid_t person_uid() const;
  // Writes a file of the person's, with its parents.
  std::string write(const std::string& relative, const std::string& content,
                    unsigned mode = 0644) const;
  void give_to_person(const std::string& path) const;

  std::string base_;       // a directory of this test's own
  std::string home_;       // base_/home, the person's, outside
  std::string workspace_;  // home_/workspace
};

}  // namespace sharkcage::sandbox::testing
