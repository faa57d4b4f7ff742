// What the monitor and PID 1 of its sandbox say to each other, over a SOCK_SEQPACKET pair. Plain
// structures: PID 1 cannot allocate. End of file means that the other one is dead.
#pragma once

#include <cstdint>

namespace sharkcage::sandbox {

struct InitOrder {
  enum Kind : std::uint32_t {
    kBegin,   // the id maps are written
    kStdio,   // start the command; three descriptors, none with a terminal
    kSignal,  // send signal `value` to the command's process group
  };
  Kind kind = kBegin;
  std::int32_t value = 0;
};

struct InitReport {
  enum Kind : std::uint32_t {
    kReady,     // descriptors: listener if any, terminal if any
    kStarted,   // the command was executed
    kReturned,  // the command ended with wait status `value`
    kFailed,    // `what` failed with `error` at `text`
  };
  // Fixed, so that the monitor can tell what a failure means (remedies).
  enum What : std::uint32_t {
    kNothing,
    kIdentity,
    kHostname,
    kLoopback,
    kListener,
    kRoot,
    kMountTmpfs,
    kMountProc,
    kMountDevpts,
    kMountBind,
    kChanged,  // another file than the one that was judged
    kMakePath,
    kMask,
    kPivot,
    kWorkdir,
    kTerminal,
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
  std::uint64_t cpu_us = 0;
  std::uint64_t max_rss = 0;
  char text[512] = {};
};

}  // namespace sharkcage::sandbox
