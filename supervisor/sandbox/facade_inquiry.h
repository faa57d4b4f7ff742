// Look-ups whose answer waits until somebody has looked at the task that asked.
//
//   inquiries.ask({request, node, name, pid});                  // the thread that serves
//   if (readable(inquiries.fd())) for (Finding& f : inquiries.take()) settle(f);
//
// Looking is the work of a thread of its own: a path can lie in a page of a mapped file of the
// home, and to read it is then a request to this very file system, which the thread that serves
// answers meanwhile. Nothing interrupts that wait, not even SIGKILL, but the end of the connection
// to the kernel (fs/fuse/dev.c, request_wait_answer). So the thread that looks has a table of
// descriptors of its own, without /dev/fuse in it: when the process is killed, the thread that
// serves takes the last descriptor of the connection with it, which frees the other.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "common/fd.h"
#include "supervisor/sandbox/facade_witness.h"

namespace sharkcage::sandbox {

struct Inquiry {
  std::uint64_t request = 0;  // the kernel's number
  std::uint64_t node = 0;     // the directory, or the mask
  std::string name;           // that is missing in it; empty for a mask
  pid_t pid = 0;              // of the thread
};

struct Finding {
  Inquiry inquiry;
  Evidence evidence;
};

class Inquiries {
 public:
  // `proc`: the sandbox's /proc. Throws system_error.
  explicit Inquiries(UniqueFd proc);

  // Starts the thread that looks, if there is none yet. Throws system_error.
  void ask(Inquiry inquiry);
  // Readable when there is something to take.
  int fd() const { return found_.get(); }
  std::vector<Finding> take();

 private:
  void look();
  void leave_descriptors() const;

  const Witness witness_;
  const UniqueFd asked_;  // eventfds
  const UniqueFd found_;
  bool started_ = false;
  std::mutex mutex_;  // of these two
  std::deque<Inquiry> inquiries_;
  std::vector<Finding> findings_;
};

}  // namespace sharkcage::sandbox
