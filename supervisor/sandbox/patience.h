// How long the deputy lets a call on a command's own descriptor wait. Whether such a call blocks is
// a flag of the open file, which the command has as well and can change at any moment.
#pragma once

namespace sharkcage::sandbox {

// As long as one lives, a call that waits is interrupted (EINTR) after 20 ms. Again and again,
// since a signal may come just before the call begins to wait. One thread.
class Patience {
 public:
  // Once a process, before the first. Throws system_error.
  static void prepare();

  Patience();
  ~Patience();
  Patience(const Patience&) = delete;
  Patience& operator=(const Patience&) = delete;
};

}  // namespace sharkcage::sandbox
