// Which layers of the sandbox a launcher leaves out: none, ever. Only sharkcage-launcher-weakened,
// which the tests build and nobody installs, is compiled with SHARKCAGE_WEAKENED and leaves out
// those that its environment names, so that tests/escape can show what each layer is there for.
#pragma once

#include <sys/mount.h>

#include <cstdint>

namespace sharkcage::sandbox::weakened {

enum class Layer : unsigned {
  kSeccomp,     // the filter of system calls
  kLandlock,    // path rules and scopes
  kNoexec,      // noexec on what a command can write
  kReadOnly,    // read-only mounts
  kNosuid,      // nosuid and nodev
  kProc,        // masked files of /proc, and /proc read-only
  kView,        // the root made of grants: the host's is shown
  kHidden,      // masks over protected paths inside a grant
  kPrivileges,  // no_new_privs and the dropping of capabilities, which are handed on instead
  kNetwork,     // the network namespace
  kProcesses,   // the pid namespace
  kIpc,         // the ipc namespace
  kLimits,      // resource limits and control groups
  kNames,       // refused names of files that run code later
  kSockets,     // the judgement of Unix sockets
  kRecording,   // no isolation at all, but what is refused is answered by the kernel alone, so that
                // tests/refusals can measure what recording costs
};

#ifdef SHARKCAGE_WEAKENED
// The layers of the variable SHARKCAGE_WEAKENED, "seccomp,landlock" for two. Async-signal-safe.
bool leaves_out(Layer layer);
#else
constexpr bool leaves_out(Layer) {
  return false;
}
#endif

// `attributes` (MOUNT_ATTR_*) without what the layers left out stand for.
inline std::uint64_t kept(std::uint64_t attributes) {
  if (leaves_out(Layer::kNoexec)) attributes &= ~std::uint64_t{MOUNT_ATTR_NOEXEC};
  if (leaves_out(Layer::kReadOnly)) attributes &= ~std::uint64_t{MOUNT_ATTR_RDONLY};
  if (leaves_out(Layer::kNosuid))
    attributes &= ~std::uint64_t{MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
  return attributes;
}

}  // namespace sharkcage::sandbox::weakened
