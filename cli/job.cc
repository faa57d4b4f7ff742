#include "cli/job.h"

#include <unistd.h>

#include <csignal>

namespace sharkcage::cli {

bool in_foreground() {
  const pid_t group = ::tcgetpgrp(STDIN_FILENO);
  return group < 0 || group == ::getpgrp();
}

bool stop_job(int signal, bool group) {
  sigset_t one;
  sigset_t before;
  sigemptyset(&one);
  sigaddset(&one, signal);
  ::sigprocmask(SIG_UNBLOCK, &one, &before);
  if (group) {
    ::kill(0, signal);
  } else {
    ::raise(signal);
  }
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  // What continues a process is kept for it where it is blocked; what stops one takes it away.
  sigset_t pending;
  ::sigpending(&pending);
  return sigismember(&pending, SIGCONT) == 1;
}

RawMode::~RawMode() {
  leave();
}

void RawMode::enter() {
  if (!known_ && ::tcgetattr(STDIN_FILENO, &before_) != 0) return;
  known_ = true;
  termios raw = before_;
  ::cfmakeraw(&raw);
  entered_ = ::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

// In the background it would stop us (SIGTTOU), and the terminal is somebody else's.
void RawMode::leave() {
  if (entered_ && in_foreground()) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
  entered_ = false;
}

}  // namespace sharkcage::cli
