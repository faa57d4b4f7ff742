// What the monitor and the processes inside its sandbox say to each other, over SOCK_SEQPACKET
// pairs: one with PID 1, and one with the keeper of each command. Plain structures: PID 1 and
// keepers cannot allocate. End of file means that the other one is dead.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sharkcage::sandbox {

struct InitOrder {
  enum Kind : std::uint32_t {
    kBegin,       // to PID 1: the id maps are written
    kKeep,        // to PID 1: make a keeper (`value` 1: be it); descriptor: its channel
    kRun,         // to a keeper that has no command: make one ready; descriptors: see RunFd
    kSignal,      // to a keeper: send signal `value` to the command's process group
    kEnd,         // to a keeper: end every process that comes from the command
    kForeground,  // to a keeper: its command (`value` 1) or nobody (0) is in the terminal's
                  // foreground
  };
  Kind kind = kBegin;
  std::int32_t value = 0;
  std::uint64_t command = 0;  // kRun: its number, which the keeper shows as its name
};

// Before its command's number, a keeper's name (comm).
inline constexpr const char* kKeeperName = "sc-";

// The descriptors of kRun. The command is executed when a byte comes through the gate, and never
// when the gate's other end is closed before. The three of stdio are absent with a terminal.
enum RunFd : std::size_t { kImageFd, kGateFd, kStdinFd, kStdoutFd, kStderrFd, kRunFds };

struct InitReport {
  enum Kind : std::uint32_t {
    kInMemory,  // of PID 1, if the plan wants it; descriptor: a file system in memory
    kFiltered,  // of PID 1; descriptor: the listener of the system call filter
    kSocket,    // of PID 1, for each socket of its network; descriptor: the next of NetworkFd
    kReady,     // of PID 1
    kFailed,    // of PID 1: `what` failed with `error` at `text`; of a keeper: no command runs
    kTerminal,  // descriptor: the master of the command's terminal
    kKeeper,    // of a new keeper: it leads session `session`, which its commands are in
    kStopped,   // the command's leader was stopped by signal `value`; with a terminal alone
    kReturned,  // the command ended with wait status `value`; with `over` what kOver says as well
    kOver,      // no process of the command is left; its keeper takes another one. Without
                // kReturned: its gate was closed
  };
  // Fixed, so that the monitor can tell what a failure means (remedies).
  enum What : std::uint32_t {
    kNothing,
    kIdentity,
    kHostname,
    kLoopback,
    kMarks,
    kListener,
    kRoot,
    kFacade,
    kMountTmpfs,
    kMountProc,
    kMountDevpts,
    kMountBind,
    kChanged,  // another file than the one that was judged
    kMakePath,
    kMask,
    kPivot,
    kWorkdir,
    kTerminalDevice,
    kDescriptors,
    kPrivileges,
    kLandlock,
    kSeccomp,
    kCommand,
  };
  Kind kind = kReady;
  What what = kNothing;
  std::int32_t error = 0;
  std::int32_t value = 0;
  std::int32_t session = 0;
  std::uint64_t cpu_us = 0;
  std::uint64_t max_rss = 0;
  bool full = false;            // kReturned: a private directory in memory has no room left
  std::uint32_t processes = 0;  // kReturned, if the plan wants it: how many are left in the sandbox
  bool over = false;
  bool not_found = false;  // kReturned: nothing was executed, since there is no such program
  char text[512] = {};
};

// Async-signal-safe. With at most one descriptor, or none (-1). False when the monitor is gone.
bool send_report(int channel, const InitReport& report, int fd = -1);

// Async-signal-safe. Fills `fds` with what came and sets `count`. False at the end of the monitor.
bool receive_order(int channel, InitOrder& order, int (&fds)[kRunFds], std::size_t& count);

}  // namespace sharkcage::sandbox
