// What the supervisor hands to the launcher for one sandbox, and what comes back from its monitor.
//
//   supervisor ──(seqpacket: kLaunch + memfd with the spec + descriptors)──▶ launcher
//   launcher forks the monitor, which makes the sandbox and from then on speaks to the supervisor
//   over the control socket that came with the launch message:
//     monitor → supervisor: Event messages     supervisor → monitor: Order messages
//   End of file of the control socket, on either side, ends the sandbox.
//
// A sandbox is made for a policy, an identity and judged paths. What runs in it are commands
// (command.h), which are orders to its monitor, one after the other or several at once.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "capabilities/policy.h"
#include "common/git_identity.h"

namespace sharkcage::sandbox {

// The port on 127.0.0.1 where every sandbox with a network finds its proxy.
inline constexpr std::uint16_t kProxyPort = 18800;

// Whose calls they are and under which ids its commands run.
struct Identity {
  uid_t uid = 0;  // the person's uid, outside
  gid_t gid = 0;
  std::string name;  // the person's login name
  // Privileged install: the unallocated uid that the commands have on the host, one a sandbox. 0 in
  // a user install, where commands keep the person's own uid.
  uid_t host_uid = 0;
  GitIdentity git;  // what is in the home's ~/.gitconfig
  bool privileged() const { return host_uid != 0; }
};

// A path that the supervisor opened and judged. Whoever mounts it opens it again without following
// any symbolic link and checks that it is still the same file.
struct JudgedPath {
  std::string source;  // outside
  std::string target;  // inside
  Access access = Access::kReadOnly;
  bool directory = true;
  bool skill = false;   // approved content of a skill: executable in every policy
  bool socket = false;  // a Unix socket, which a command may connect to
  dev_t device = 0;
  ino_t inode = 0;
};

struct Spec {
  Policy policy;
  Identity identity;
  std::vector<JudgedPath> paths;  // workspace, file grants, skills: parents before children

  // The binary form that the launcher reads (CBOR, because paths are byte strings and need not be
  // UTF-8).
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

// Orders to the monitor (one JSON object a seqpacket). N is the supervisor's number of a command,
// positive and not used before in this sandbox.
//   {"order": "run", "id": N, "last": B, "wall_ms": N}
//                                      + the command's image (command.h) in a memfd
//                                      + a stream socket, its gate
//                                      + 3 descriptors for its stdio (none with a terminal)
//       Makes a command ready. It is executed when one byte comes through the gate, and ends
//       unexecuted when the gate is closed before. May be sent before "ready". "last": the sandbox
//       ends when it returns, with everything that it left behind; it must then be the only
//       command. "wall_ms", from this order on; 0: no limit.
//   {"order": "signal", "id": N, "signal": N}   to the command's process group
//   {"order": "foreground", "id": N, "on": B}   of its terminal
//   {"order": "release", "id": N}   nobody reads its terminal any more: what the command left
//   behind
//       writes into nothing
//   {"order": "cancel", "id": N, "reason": "…"} ends the command and all processes that come from
//       it; the sandbox with it where that cannot be made sure
//   {"order": "kill", "reason": "…"}   ends the sandbox at once
// Events from the monitor:
//   {"event": "ready", "pid": N, "controllers": ["memory", "pids", "cpu: affinity"]}
//       pid: PID 1, as seen outside
//                                      + what NetworkFd lists (capabilities/caught.h)
//   {"event": "terminal", "id": N}     + the master of the command's terminal
//   {"event": "stopped", "id": N, "signal": N}   with a terminal: the command was stopped
//   {"event": "returned", "id": N, "exit": N | "signal": N, "reason": "wall" | "killed" | …,
//    "wall_us": N, "cpu_us": N, "max_rss": BYTES, "over": B, "limits": [Refusal…]?}
//                                      + a memfd with what was refused (refusals.h), if anything
//                                      was; with "refused_unknown": "…" where that was lost
//       when everything that it wrote has gone to its client, or can go nowhere. exit 127: its
//       program was not found, 126: not executable. "over": what the event of this name says
//   {"event": "over", "id": N}         no process of the command is left (not for a last one: the
//       end of the sandbox says so)
//   {"event": "failed", "id": N, "what": "…", "errno": N, "remedy": "…"}   the command did not run;
//       without an id: the sandbox could not be made, nothing ran, it is gone
// "launcher_client.h" has functions for all of these.
// The monitor closes the control socket when nothing of the sandbox is left.

}  // namespace sharkcage::sandbox
