// What PID 1 of a sandbox and its facade say to each other while the sandbox is made, over a
// SOCK_SEQPACKET pair. Plain structures: PID 1 cannot allocate.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace sharkcage::sandbox {

struct FacadeMessage {
  enum Kind : std::uint32_t {
    // From PID 1. The file system is made; descriptors: the connection to the kernel (/dev/fuse),
    // the tmpfs that holds the content of files in the home.
    kConnect,
    // From PID 1. The root is built, and nothing that the sandbox runs has started yet;
    // descriptors: its /proc, its user namespace, its mount namespace. The facade enters these,
    // gives up what it may, and answers with the same kind.
    kSeal,
    // From PID 1: no file system could be made (`error`), there is nothing to serve.
    kUnavailable,
  };
  Kind kind = kConnect;
  std::int32_t error = 0;
  // kConnect: the ids of the sandbox's user, inside.
  uid_t uid = 0;
  gid_t gid = 0;
};

}  // namespace sharkcage::sandbox
