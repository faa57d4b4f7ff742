// Whether anything has changed on the ways to some paths, told by the kernel (inotify(7), and
// /proc/thread-self/mountinfo for what is mounted over them, proc(5)) instead of looked up.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "capabilities/ways.h"
#include "common/fd.h"

namespace sharkcage {

// One thread.
class WayWatch {
 public:
  // Watches these directories and no others. What happened before is forgotten, what happens while
  // this begins is not: look at everything once after this. False when one of them cannot be relied
  // on: it is missing or is reached over links, its file system may change without this kernel's
  // doing, or there are too many watches. Then nothing is watched.
  bool watch(const Ways& ways);

  // Nothing has happened since `watch`, or since this said so; false also when so much has that to
  // hear it all would take longer than a look. One system call as a rule, no look at files.
  bool quiet();

 private:
  struct Watched {
    std::string path;
    WayInterest interest;
  };

  bool open();
  bool add(const std::string& path, const WayInterest& interest, std::map<int, Watched>& kept);
  bool nothing_new();
  bool drain();
  bool any_matters(const char* block, std::size_t size) const;
  bool matters(int watch, std::uint32_t mask, const std::string& name) const;
  void stop();

  UniqueFd events_;
  UniqueFd mounts_;
  std::map<int, Watched> watched_;  // by the number that inotify gave
  bool watching_ = false;
};

}  // namespace sharkcage
