// What the supervisor hands to the launcher for one sandbox, and what comes back from its monitor.
//
//   supervisor ──(seqpacket: kLaunch + memfd with the spec + descriptors)──▶ launcher
//   launcher forks the monitor, which makes the sandbox and from then on speaks to the supervisor
//   over the control socket that came with the launch message:
//     monitor → supervisor: Event messages     supervisor → monitor: Order messages
//   End of file of the control socket, on either side, ends the sandbox.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "capabilities/policy.h"

namespace sharkcage::sandbox {

// The port on 127.0.0.1 where every sandbox with a network finds its proxy.
inline constexpr std::uint16_t kProxyPort = 18800;

// Whose call it is and under which ids its commands run.
struct Identity {
  uid_t uid = 0;  // the person's uid, outside
  gid_t gid = 0;
  std::string name;  // the person's login name
  // Privileged install: the unallocated uid that the commands have on the host, one a sandbox. 0 in
  // a user install, where commands keep the person's own uid.
  uid_t host_uid = 0;
  bool privileged() const { return host_uid != 0; }
};

// A path that the supervisor opened and judged. Whoever mounts it opens it again without following
// any symbolic link and checks that it is still the same file.
struct JudgedPath {
  std::string source;  // outside
  std::string target;  // inside
  Access access = Access::kReadOnly;
  bool directory = true;
  bool skill = false;  // approved content of a skill: executable in every policy
  dev_t device = 0;
  ino_t inode = 0;
};

struct Terminal {
  bool enabled = false;
  unsigned rows = 24;
  unsigned columns = 80;
};

struct Spec {
  std::string call;  // for names of control groups and for messages
  Policy policy;
  Identity identity;
  std::vector<JudgedPath> paths;  // workspace, file grants, skills: parents before children
  std::vector<std::string> argv;
  std::vector<std::string> environment;  // NAME=value, complete
  std::string workdir;
  Terminal terminal;

  // The binary form that the launcher reads (CBOR, because arguments, variables and paths are byte
  // strings and need not be UTF-8).
  std::string encode() const;
};

// The inverse of `Spec::encode`. Throws UserError for anything it does not know.
Spec decode_spec(std::string_view bytes);

// The launch message: one of these texts. The second one tells that the policy names programs, for
// which the launcher has to know the host's layout of programs and libraries.
inline constexpr std::string_view kLaunch = "launch";
inline constexpr std::string_view kLaunchScoped = "launch scoped";
// Its descriptors, in this order.
enum LaunchFd : std::size_t { kSpecFd = 0, kControlFd = 1 };
// The stdio descriptors arrive in a second message on the control socket: an Order "stdio" with
// exactly three descriptors, before which the monitor starts nothing.

// Orders to the monitor (one JSON object a seqpacket):
//   {"order": "stdio"}                 + 3 descriptors (none with a terminal)
//   {"order": "signal", "signal": N}   to the command's process group
//   {"order": "kill", "reason": "…"}   ends the sandbox at once
// Events from the monitor:
//   {"event": "ready", "controllers": ["memory", "pids"]}
//                                      + the proxy's listening socket if the policy has a network
//                                      + the terminal's master if one was asked for, in that order
//   {"event": "started"}               the command was executed (execve succeeded); absent when its
//                                      program was not found (exit 127) or not executable (126)
//   {"event": "returned", "exit": N | "signal": N, "reason": "wall" | "killed" | …,
//    "wall_us": N, "cpu_us": N, "max_rss": BYTES}
//   {"event": "failed", "what": "…", "errno": N, "remedy": "…"}   no command ran; the sandbox is
//   gone
// "launcher_client.h" has functions for all of these.
// After "returned" or "failed" the monitor closes the control socket when nothing of the sandbox is
// left.

}  // namespace sharkcage::sandbox
