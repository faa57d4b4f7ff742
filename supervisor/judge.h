// From a policy's paths to files that are held: opened, looked at, described.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/peer.h"
#include "supervisor/sandbox/spec.h"

namespace sharkcage {

// Everything that the policy shows, parents before children. With `privileged` every path of the
// person is opened with that person's rights on the file system, so that a supervisor that runs as
// root shows nobody what they cannot reach themselves, and a writable workspace must be their own.
// Throws UserError naming the path.
std::vector<sandbox::JudgedPath> judge_paths(const Policy& policy, const std::string& skills_dir,
                                             uid_t owner, gid_t group, bool privileged);

// The workspace `path`, which must be real: what a session shows is the same inside and outside,
// and a link could be pointed elsewhere later. Looked up with the peer's rights, so that a
// supervisor that runs as root tells nobody what there is where they cannot look. Throws UserError.
std::string workspace_of(const std::string& path, const Peer& peer, bool privileged);

// A descriptor that may become a command's stdin, stdout or stderr: a pipe or a connected Unix
// stream socket. Anything else is a hole (/proc/self/fd/0 of a file leads to its file system).
// Throws UserError naming `name`.
void check_stdio(int fd, const std::string& name);

}  // namespace sharkcage
