// What the kernel counts by user across all of the user's namespaces: inotify instances and
// watches.
#pragma once

namespace sharkcage::sandbox {

// Leaves the sandbox a share of them. Without one, a single command could use up all that the
// owner of its user namespace has (the person; root in a privileged install), and no editor or
// service manager outside could watch a file any more. `proc` is a mounted /proc that can be
// written; called with the capabilities of PID 1 (user_namespaces(7), /proc/sys/user). Where the
// host makes these files read-only, nothing changes. Async-signal-safe.
void bound_counts(int proc);

}  // namespace sharkcage::sandbox
