// Look-ups whose answer waits until the witness has looked at the task.
//
// The witness has a thread of its own: a path argument can lie in a page of a mapped file of the
// home, and to read it is then a request to the facade, which must be served meanwhile.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "common/fd.h"
#include "supervisor/sandbox/facade_witness.h"

namespace sharkcage::sandbox {

struct Inquiry {
  std::uint64_t request = 0;  // the kernel's number
  std::uint64_t node = 0;     // the directory, or the mask
  std::string name;           // that is missing in it; empty for a mask
  pid_t pid = 0;              // of the thread
  Evidence evidence;
};

class Inquiries {
 public:
  // `proc`: the sandbox's /proc. Throws system_error.
  void open(UniqueFd proc);
  bool possible() const { return witness_ != nullptr; }

  // Starts the thread at the first one: most sandboxes miss nothing, or little. Throws
  // system_error.
  void ask(std::unique_ptr<Inquiry> inquiry);

  // Readable when one can be taken.
  int fd() const { return answers_.get(); }
  std::unique_ptr<Inquiry> take();

 private:
  void work(int questions, int answers) const;

  std::unique_ptr<Witness> witness_;
  bool started_ = false;
  UniqueFd questions_;       // write end
  UniqueFd answers_;         // read end
  UniqueFd questions_read_;  // the thread's
  UniqueFd answers_write_;
};

}  // namespace sharkcage::sandbox
