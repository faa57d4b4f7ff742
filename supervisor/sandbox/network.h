// The network of a sandbox: a namespace with `lo` alone. Async-signal-safe.
#pragma once

#include "capabilities/caught.h"

namespace sharkcage::sandbox {

// Brings `lo` up, which a new network namespace has, down. 0, or -1 with errno.
int bring_up_loopback();

// In the network namespace of the caller, an accepted socket has the mark of the one that connected
// (capabilities/caught.h). `proc` is a mounted /proc that can be written; the caller has the
// capabilities of PID 1. 0, or -1 with errno.
int keep_marks(int proc);

// One of the sockets for the egress, which does not block, or -1 with errno.
int open_network_socket(NetworkFd which);

}  // namespace sharkcage::sandbox
