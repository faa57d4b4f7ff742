// A file system that does not answer, as a server in a network that is gone: FUSE, mounted by root.
#pragma once

#include <atomic>
#include <string>
#include <thread>

#include "common/fd.h"

namespace sharkcage::testing {

class SilentMount {
 public:
  enum class Answers {
    kNothing,   // but the first exchange, without which a mount is not yet one
    kItsEmpty,  // and what is asked of an empty directory; not what would change it
  };
  // Whether this process can make one.
  static bool possible();
  // At `path`, which is made, for everybody. Throws system_error.
  SilentMount(const std::string& path, Answers answers);
  // Whoever waits gets an error then.
  ~SilentMount();
  SilentMount(const SilentMount&) = delete;
  SilentMount& operator=(const SilentMount&) = delete;

  // Requests that were not answered.
  int asked() const { return asked_; }

 private:
  void serve();

  const std::string path_;
  const Answers answers_;
  UniqueFd device_;
  UniqueFd end_read_;
  UniqueFd end_write_;
  std::atomic<int> asked_ = 0;
  std::thread server_;
};

}  // namespace sharkcage::testing
