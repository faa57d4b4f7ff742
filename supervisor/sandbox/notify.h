// The listener of a sandbox's system call filter (seccomp_unotify(2)): calls that wait for an
// answer. One thread.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <vector>

#include "common/fd.h"

namespace sharkcage::sandbox {

// A system call that waits. Its arguments are registers, which nobody changes; what they point to
// is memory that other threads write to.
struct Notification {
  std::uint64_t id = 0;
  pid_t tid = 0;  // in the pid namespace of whoever receives it
  int call = 0;
  std::array<std::uint64_t, 6> args{};

  // That of no other call that waits.
  std::uint32_t mark() const { return static_cast<std::uint32_t>(id); }
  // The kernel takes the lower half of an `int` argument.
  int number(std::size_t argument) const { return static_cast<int>(args[argument]); }
};

class Listener {
 public:
  // Asks for the fast way of waking up, where the kernel has it (6.6). Throws system_error.
  explicit Listener(UniqueFd fd);

  int fd() const { return fd_.get(); }

  // After poll says that it is readable. False: the task has gone meanwhile.
  bool receive(Notification& notification);

  // Whether the task still waits in this call: what was read of it by its number is then its own.
  bool valid(const Notification& notification) const;

  // Answers. A task that is gone needs none.
  void answer(const Notification& notification, std::int64_t value) const;
  void refuse(const Notification& notification, int error) const;
  // The kernel carries the call out, reading its memory again: enforces nothing.
  void let_continue(const Notification& notification) const;
  // The call's result is a new descriptor for `fd`, of which no copy is left here when the task
  // goes on: a program cannot be executed while anybody has it open for writing (ETXTBSY). With
  // `at_once` one can be, and the task goes on sooner. 0, or the error of the call (EMFILE, the
  // task's own limit), which is not answered then.
  int give(const Notification& notification, UniqueFd fd, bool close_on_exec, bool at_once) const;

 private:
  void send(const Notification& notification, std::int64_t value, int error, unsigned flags) const;

  UniqueFd fd_;
  std::vector<std::uint64_t> request_;   // as large as the kernel's seccomp_notif, aligned
  std::vector<std::uint64_t> response_;  // seccomp_notif_resp
};

}  // namespace sharkcage::sandbox
