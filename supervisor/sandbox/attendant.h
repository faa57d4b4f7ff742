// A process beside the monitor that serves one sandbox: the facade, the deputy. It lives outside of
// the sandbox's pid namespace, so that no command sees or signals it, and dies with the monitor.
#pragma once

#include <sys/types.h>

#include <functional>
#include <span>

#include "common/fd.h"

namespace sharkcage::sandbox {

class Attendant {
 public:
  // Forks it. The child keeps 0, 1, 2 as they are, its end of the channel (SOCK_SEQPACKET) and
  // `keep`, closes every other descriptor, and runs `serve(channel)`; when that returns or throws,
  // it ends. `name` is what ps shows. Called before the monitor has a thread. Throws system_error.
  static Attendant start(const char* name, std::span<const int> keep,
                         const std::function<void(int channel)>& serve, int group = -1);

  Attendant() = default;
  Attendant(Attendant&& other) noexcept;
  Attendant& operator=(Attendant&& other) noexcept;
  // Kills and reaps it. One that waits in the kernel for a file system that does not answer ends
  // when that does: it runs no more instruction of its own, and nobody waits for it longer than two
  // seconds.
  ~Attendant() { stop(); }

  // Readable once it has ended, which nobody survives: the monitor ends the sandbox then.
  int pidfd() const { return pidfd_.get(); }
  int channel() const { return channel_.get(); }
  pid_t pid() const { return pid_; }
  void stop();

 private:
  pid_t pid_ = 0;
  UniqueFd pidfd_;
  UniqueFd channel_;
};

// Whether the process has ended in that time; -1 waits as long as it takes.
bool wait_for(int pidfd, int milliseconds);

}  // namespace sharkcage::sandbox
