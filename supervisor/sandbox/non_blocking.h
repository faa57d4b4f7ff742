// A command's own socket, for the moment of a call on it.
#pragma once

#include <fcntl.h>

namespace sharkcage::sandbox {

// The socket does not block while this lives, unless the command changes its flags back meanwhile:
// they are those of its own descriptor.
class NonBlocking {
 public:
  explicit NonBlocking(int socket) : socket_(socket), flags_(::fcntl(socket, F_GETFL)) {
    if (blocks()) ::fcntl(socket_, F_SETFL, flags_ | O_NONBLOCK);
  }
  ~NonBlocking() {
    if (blocks()) ::fcntl(socket_, F_SETFL, flags_);
  }
  NonBlocking(const NonBlocking&) = delete;
  NonBlocking& operator=(const NonBlocking&) = delete;
  bool blocks() const { return flags_ >= 0 && (flags_ & O_NONBLOCK) == 0; }

 private:
  int socket_;
  int flags_;
};

}  // namespace sharkcage::sandbox
