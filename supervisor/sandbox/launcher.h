// The launcher: forks a monitor for each sandbox. Small, single-threaded, exec'ed by the
// supervisor.
#pragma once

namespace sharkcage::sandbox {

// Serves launch messages on `socket` (SOCK_SEQPACKET) until its end of file; returns the process's
// exit status.
int run_launcher(int socket);

}  // namespace sharkcage::sandbox
