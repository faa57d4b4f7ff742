// The keeper of a command: starts it, tells how it ended, and knows every process that comes from
// it, because the kernel makes the keeper their parent when theirs ends (PR_SET_CHILD_SUBREAPER).
// So it can say when the last one is gone, and end all of them.
//
// It leads the session that its command is in. The command has a process group there, as under a
// shell: it can be stopped and continued, and its terminal outlives it for what it left behind.
//
// In a sandbox that ends with its only command PID 1 is the keeper. In a warm one each command has
// one, a child of PID 1. A command has the keeper's user id and can kill it; then nobody knows what
// belongs to the command any more, and the monitor ends the sandbox.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include "supervisor/sandbox/command_image.h"
#include "supervisor/sandbox/init_channel.h"
#include "supervisor/sandbox/plan.h"

namespace sharkcage::sandbox {

// Async-signal-safe, as PID 1 is.
class Keeper {
 public:
  // `channel`: to the monitor. `children`: a signalfd for SIGCHLD. `monitor`: PID 1's own channel,
  // when PID 1 is the keeper, else -1. SIGCHLD must be blocked.
  Keeper(const Plan& plan, int channel, int children, int monitor)
      : plan_(plan), channel_(channel), children_(children), monitor_(monitor) {}

  // Waits for a command and keeps it from its start to the end of its last process, then waits for
  // the next one. When PID 1 is the keeper, it ends with its command.
  [[noreturn]] void run();

 private:
  bool alone() const { return monitor_ >= 0; }
  void take_command();
  void open_terminal();
  void start();
  pid_t spawn();
  [[noreturn]] void become_command();
  bool pass_gate();
  void hold_terminal();
  void let_terminal_go();
  void take_foreground(pid_t group);
  int execute();
  void explain(int error);
  void serve();
  bool obey();
  bool reap();
  void stopped(int signal);
  void close_terminal();
  InitReport returned(int status, const rusage& usage);
  void end_tree();
  void kill_children();
  [[noreturn]] void fail(InitReport::What what, const char* text);
  void tell(const InitReport& report, int fd = -1);

  const Plan& plan_;
  int fds_[kRunFds] = {-1, -1, -1, -1, -1};
  const int channel_;
  const int children_;
  const int monitor_;
  CommandImage image_;
  pid_t leader_ = 0;
  int terminal_ = -1;          // as long as the command runs
  bool has_terminal_ = false;  // the command, or what it left behind
  // Written by the child before its execve, in memory that it shares until then (vfork(2)).
  volatile bool executed_ = false;
  volatile bool dropped_ = false;
  volatile int workdir_error_ = 0;
};

}  // namespace sharkcage::sandbox
