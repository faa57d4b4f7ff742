// PID 1's side of the facade: the FUSE file system that it serves (fs/fuse/inode.c,
// Documentation/filesystems/fuse). Async-signal-safe.
#pragma once

#include "supervisor/sandbox/facade_link.h"
#include "supervisor/sandbox/plan.h"

namespace sharkcage::sandbox {

// What PID 1 holds until its root is complete; -1 each where there is no facade.
struct FacadeEnds {
  int link = -1;
  int device = -1;
  int user_namespace = -1;
  int mount_namespace = -1;
};

// /dev/fuse can be opened by this process.
bool facade_possible();

// Opens the device, in the sandbox's user namespace, for the kernel lets no other one mount with
// it.
FacadeEnds open_facade_ends(const Plan& plan);

// A new file system, detached, that the facade serves from now on, with `storage` (a detached
// tmpfs) for the content of the home. -1: there is none, and the facade knows. The device is closed
// here: only when the last descriptor of it goes with the facade, those end that wait for it, this
// process among them.
int mount_facade(FacadeEnds& ends, int storage);
// There is no root to serve.
void leave_facade(const FacadeEnds& ends, int error);

// Has the kernel learn all names of a directory at once (FUSE_READDIRPLUS), before they are looked
// up one by one, each at the cost of two changes of process.
void look_ahead(int at, const char* directory);

// A detached copy of a directory or file at its top, with `attributes` (MOUNT_ATTR_*), or -1.
int clone_facade(int top, const char* name, std::uint64_t attributes);

// The root is built, and this process in it. Waits until the facade has given up what it need not
// have. 0, or -1 with errno.
int seal_facade(const FacadeEnds& ends);

}  // namespace sharkcage::sandbox
