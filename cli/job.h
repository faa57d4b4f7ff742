// This process as a job of the shell that started it: whether it is in the foreground of its
// terminal, the terminal's mode, and being stopped.
#pragma once

#include <termios.h>

namespace sharkcage::cli {

// Whether the terminal at stdin takes this process for the one that it belongs to now. True where
// nobody says otherwise: it is no terminal, or not of this session.
bool in_foreground();

// Stops this process, or with `group` its whole job, as `signal` does by itself (SIGTSTP, SIGTTIN,
// SIGTTOU), and returns when it is continued. False when it was not stopped: the signal is ignored,
// or nobody is there to continue (an orphaned group, termios(3)). SIGCONT must be blocked, and is
// pending then.
bool stop_job(int signal, bool group);

// The terminal at stdin in raw mode: every key goes to the command's pty, which gives ^C and ^Z
// their meaning. As it was again at the end of its life. Only for the foreground.
class RawMode {
 public:
  RawMode() = default;
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;
  ~RawMode();
  // Once more after whoever had the terminal meanwhile.
  void enter();
  void leave();

 private:
  termios before_{};
  bool known_ = false;
  bool entered_ = false;
};

}  // namespace sharkcage::cli
