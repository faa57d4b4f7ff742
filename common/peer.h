// Who is at the other end of a Unix socket (unix(7), SO_PEERCRED).
#pragma once

#include <sys/types.h>

namespace sharkcage {

struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  // The peer lives in this process's user and pid namespaces. False where that cannot be told.
  bool same_namespaces = false;
};

// The credentials the peer had when it connected. Throws system_error.
Peer peer_of(int socket);

}  // namespace sharkcage
