// User namespaces of a sandbox, seen from outside.
#pragma once

#include <sys/types.h>

#include "common/fd.h"
#include "supervisor/sandbox/spec.h"

namespace sharkcage::sandbox {

// Writes the id maps of `init`, which has just been cloned into a user namespace: one user and one
// group inside, which are the person's own outside, or the sandbox's unallocated one in a
// privileged install (user_namespaces(7)). Throws system_error.
void write_id_maps(pid_t init, const Identity& identity);

// A user namespace for idmapped mounts: what `uid` and `gid` own on disk appears as `host_uid`'s
// (mount_setattr(2), "ID-mapped mounts"). Throws system_error.
UniqueFd make_idmap(uid_t uid, gid_t gid, uid_t host_uid);

}  // namespace sharkcage::sandbox
