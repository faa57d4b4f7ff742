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
    kNothing,     // but the first exchange, without which a mount is not yet one
    kItsEmpty,    // and what is asked of an empty directory; not what would change it
    kADirectory,  // and what is asked of a directory in which there is a directory "d"
  };
  // Whether this process can make one.
  static bool possible();
  // At `path`, which is made, for everybody. Throws system_error.
  SilentMount(const std::string& path, Answers answers);
  // Whoever waits gets an error then.
  ~SilentMount();
  SilentMount(const SilentMount&) = delete;
  SilentMount& operator=(const SilentMount&) = delete;

  // From now on no name is looked up any more.
  void forget_names() { knows_names_ = false; }

  // Requests that were not answered.
  int asked() const { return asked_; }
  // How often "d" was looked up.
  int looked_up() const { return looked_up_; }

 private:
  void serve();
  void look_up(std::uint64_t request, const std::string& name);

  const std::string path_;
  const Answers answers_;
  UniqueFd device_;
  UniqueFd end_read_;
  UniqueFd end_write_;
  std::atomic<int> asked_ = 0;
  std::atomic<int> looked_up_ = 0;
  std::atomic<bool> knows_names_ = true;
  std::thread server_;
};

}  // namespace sharkcage::testing
