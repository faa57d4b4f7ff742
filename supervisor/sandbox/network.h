// The network of a sandbox: a namespace with `lo` alone. Async-signal-safe.
#pragma once

#include "capabilities/caught.h"

namespace sharkcage::sandbox {

// Brings `lo` up, which a new network namespace has, down. 0, or -1 with errno.
int bring_up_loopback();

// One of the sockets for the egress, which does not block, or -1 with errno.
int open_network_socket(NetworkFd which);

}  // namespace sharkcage::sandbox
