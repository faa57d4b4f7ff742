// The supervisor's side of the launcher: start it, hand it sandboxes, speak to their monitors.
//
// Nothing here blocks but `Launcher::start`, so that an event loop can own the descriptors: wait
// until one is readable, then call `receive_event`. A Launcher is used by one thread at a time; the
// functions on a control socket may be called from any thread, one at a time for each socket.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "supervisor/sandbox/command.h"
#include "supervisor/sandbox/refusals.h"
#include "supervisor/sandbox/spec.h"

namespace sharkcage::sandbox {

class Launcher {
 public:
  // Executes `program` (see `default_program`) as a child of this thread: it ends when the thread
  // or this process ends, and on end of file of `fd()`. Throws UserError, naming the program, when
  // it cannot be executed.
  static Launcher start(const std::string& program = default_program());

  // `sharkcage-launcher` beside the running executable.
  static std::string default_program();

  Launcher(Launcher&&) noexcept = default;
  Launcher& operator=(Launcher&&) = delete;
  // Ends the launcher and all of its sandboxes, and reaps it.
  ~Launcher();

  // Hands over one sandbox. `control` is the far end of a SOCK_SEQPACKET pair (`make_control`); the
  // caller closes its copy afterwards. What goes wrong later arrives as a "failed" event on the
  // near end. Throws system_error when the launcher is gone (EPIPE) or does not keep up (EAGAIN):
  // nothing was started then.
  void launch(const Spec& spec, int control);

  // Becomes readable only when the launcher has ended (end of file); it never sends anything.
  int fd() const { return socket_.get(); }
  pid_t pid() const { return pid_; }

 private:
  Launcher(UniqueFd socket, pid_t pid) : socket_(std::move(socket)), pid_(pid) {}

  UniqueFd socket_;
  pid_t pid_ = -1;
};

// {near end for the supervisor, far end for `launch`}; the near end does not block.
std::pair<UniqueFd, UniqueFd> make_control();

struct Event {
  enum class Kind {
    kReady,     // `network` is set
    kTerminal,  // `terminal` is set
    kStopped,   // the command was stopped, by `signal`; with a terminal alone
    kReturned,  // the command has ended
    kRefused,   // processes of a command that has returned were refused something
    kOver,      // no process of the command is left. Unless kReturned says so, it is always told
    kFailed,    // the command did not run; with `command` 0: the sandbox could not be made
    kEnded,     // end of file: nothing of the sandbox is left
  };
  Kind kind = Kind::kEnded;

  std::uint64_t command = 0;      // which one, by the number in its RunOrder
  std::vector<UniqueFd> network;  // kReady: what NetworkFd (capabilities/caught.h) says
  UniqueFd terminal;              // the master of the command's terminal
  pid_t pid = 0;                  // kReady: PID 1, as seen outside
  // kReady: what limits the sandbox as a whole (LimitWatch::holders).
  std::vector<std::string> controllers;

  // kReturned: no process of the command is left either, and no kOver follows.
  bool over = false;
  // kReturned: nothing was executed, since the sandbox has no such program; `exit` is 127.
  bool not_found = false;
  // kReturned: one of `exit` (0 … 255) and `signal` (1 …).
  std::optional<int> exit;
  int signal = 0;
  // "" it ended by itself; "wall", "memory", "pids", "output" a limit; else that of `order_kill`.
  std::string reason;
  std::vector<Refusal> limits;  // that it ran into, whether they ended it or not
  std::uint64_t wall_us = 0;
  std::uint64_t cpu_us = 0;
  std::uint64_t max_rss = 0;  // bytes, of its largest process

  // kReturned, kRefused, kOver, kFailed: what the sandbox refused since the last of them; how many
  // more there were, of which nothing is known but their number; why more may have been refused
  // than that, or empty.
  std::vector<Refusal> refused;
  std::uint64_t refused_more = 0;
  std::string refused_unknown;

  // kFailed: what was attempted and why it failed; what to do, or empty.
  std::string what;
  std::string remedy;
  int error = 0;  // errno, or 0
};

// The next event of a control socket's near end, or nothing when none has arrived. After kEnded
// there are no more. Throws UserError for a message that is none, system_error.
std::optional<Event> receive_event(int control);

struct RunOrder {
  std::uint64_t command = 1;          // its number: positive, used once in a sandbox
  bool last = true;                   // the only command of its sandbox, which ends with it
  std::chrono::milliseconds wall{0};  // time limit; 0: none
};

// Orders. A monitor that is gone is no error (its kEnded tells): they return false then. They may
// be sent at any time after `launch`, without waiting for kReady.
// Makes `command` ready, up to its execve(2), which waits until its gate is opened. `stdio`: three
// descriptors, or none with a terminal. Returns the gate, or none when the monitor is gone. Throws
// UserError for a command that cannot be executed anywhere (Command::encode).
UniqueFd order_run(int control, const RunOrder& order, const Command& command,
                   std::span<const int> stdio);
// The command is executed. A gate that is closed without that ends the command unexecuted.
void open_gate(UniqueFd gate);
bool order_signal(int control, std::uint64_t command, int signal);   // to its process group
bool order_foreground(int control, std::uint64_t command, bool on);  // of its terminal
// Its terminal's client has gone.
bool order_release(int control, std::uint64_t command);
// Ends a command and everything that comes from it.
bool order_cancel(int control, std::uint64_t command, std::string_view reason);
bool order_kill(int control, std::string_view reason);  // ends the sandbox at once

// Opens `source` without following any symbolic link, and describes what was found. Throws
// UserError naming the path when it does not exist, has a link in it, or is neither a directory,
// a file nor, for writing, a socket.
JudgedPath judge_path(const std::string& source, const std::string& target, Access access,
                      bool skill = false);

}  // namespace sharkcage::sandbox
