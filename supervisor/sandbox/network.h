// The network of a sandbox: a namespace with `lo` alone. Async-signal-safe.
#pragma once

namespace sharkcage::sandbox {

// Brings `lo` up, which a new network namespace has, down. 0, or -1 with errno.
int bring_up_loopback();

// A listening socket on 127.0.0.1:kProxyPort that does not block, or -1 with errno.
int listen_for_proxy();

}  // namespace sharkcage::sandbox
