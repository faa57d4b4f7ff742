// The standard streams of a command that runs in a sandbox, as its client sees them (`sc run`,
// `sc-exec`).
//
//   Stdio stdio(Stdio::on_terminal());
//   auto answer = client.call("exec.open", params(stdio.window()), stdio.to_pass());
//   Ending ending = stdio.attend(client, answer["call"]);
//
// A pipe or a Unix stream socket is passed on as it is. Anything else (a file, a device, a
// terminal, an Internet socket) stays here, since a passed descriptor is a hole in the sandbox: its
// bytes are relayed through a pipe. With a terminal the command gets a pty of its own and this
// terminal becomes a relay for it. One thread, blocking.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/job.h"
#include "common/fd.h"
#include "common/rpc.h"

namespace sharkcage::cli {

// Exit statuses of ours, beside those of the command itself (design: CLI).
inline constexpr int kTimeLimit = 124;
inline constexpr int kSandboxFailed = 125;
inline constexpr int kBlocked = 126;

// How a command ended. `status` is what a shell would see: its exit status, 128 + N after signal N,
// or one of the three above. `message` is for people; empty when the command ended by itself.
struct Ending {
  int status = 0;
  std::string reason;   // as in `exec.exit`; empty when the command ended by itself
  std::string message;  // not yet made printable
  // How many different accesses were refused meanwhile; the log names them.
  std::uint64_t refused = 0;
  std::uint64_t refused_records = 1;  // in how many records of the log
  bool not_found = false;             // the sandbox has no such program
};

struct Window {
  unsigned rows = 24;
  unsigned columns = 80;
};

class Stdio {
 public:
  // Whether stdin and stdout are both terminals.
  static bool on_terminal();

  // Judges descriptors 0, 1 and 2 and makes the pipes that are needed; a closed one counts as
  // /dev/null. With `terminal` nothing is passed: the command gets a pty. Throws UserError for a
  // descriptor that can be neither passed nor read (a directory, O_PATH), std::system_error.
  explicit Stdio(bool terminal);
  // Relays stdin only; what the command writes is kept for `captured_stdout` and `captured_stderr`.
  struct Capture {};
  explicit Stdio(Capture);
  Stdio(const Stdio&) = delete;
  Stdio& operator=(const Stdio&) = delete;

  // The size of the terminal, or nothing in the mode without one.
  std::optional<Window> window() const { return window_; }
  // For the request, where there is a window.
  Json terminal() const;
  // What goes along with the request: stdin, stdout, stderr, or nothing with a terminal.
  std::span<const int> to_pass() const { return to_pass_; }

  // Call it once the request was accepted: relays bytes, signals and window sizes until the command
  // has returned and its output is through. The terminal is restored on return and on exceptions.
  // The end of the connection is an ending as well (kSandboxFailed).
  Ending attend(rpc::Client& client, const std::string& call);

  std::string take_captured_stdout() { return std::move(captured_[0]); }
  std::string take_captured_stderr() { return std::move(captured_[1]); }

 private:
  // One direction of one stream. `to` is -1 for a capture.
  struct Relay {
    int from = -1;
    int to = -1;
    std::string* capture = nullptr;
    UniqueFd own;  // our end of the pipe: `from` or `to`
    std::string buffer = {};
    bool output = true;  // from the command to us
    bool ended = false;

    bool wants_read() const { return !ended && buffer.empty(); }
    void step(short events);
    void end();
    void read_some();
    void write_some();
  };

  void find_job();
  void connect_input(int fd);
  void connect_output(int fd, std::string* capture);
  void let_go_of_passed();
  void start_terminal(rpc::Client& client);
  void wait_and_step(rpc::Client& client, int signals, const std::string& call, bool& connected);
  void forward_signals(rpc::Client& client, int signals, const std::string& call);
  void on_stopped(rpc::Client& client, const std::string& call, int signal);
  void go_on(rpc::Client& client, const std::string& call, bool with_terminal);
  void take_terminal(rpc::Client& client, const std::string& call);
  void look_for_foreground(rpc::Client& client, const std::string& call);
  void drain();

  std::optional<Window> window_;
  bool on_tty_ = false;     // stdin is a terminal
  bool foreground_ = true;  // and ours to read from, where it is one
  RawMode raw_;
  std::vector<int> to_pass_;
  std::vector<UniqueFd> far_ends_;  // what we pass and do not keep
  std::vector<Relay> relays_;
  UniqueFd master_;
  std::array<std::string, 2> captured_;
  bool passed_[3] = {false, false, false};
};

// The ending that a refused or failed request stands for.
Ending ending_of(const rpc::Error& error);

// Opens /dev/null on those of 0, 1 and 2 that are closed, so that no other descriptor takes their
// numbers. The first thing a program does. Throws std::system_error.
void occupy_standard_fds();

}  // namespace sharkcage::cli
