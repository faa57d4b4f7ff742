// What the log's threads are, beside what they do.
#pragma once

#include <pthread.h>
#include <sched.h>
#include <signal.h>

namespace sharkcage::audit {

// Being woken, this thread does not take the processor from who woke it and has more to do
// (sched(7), SCHED_BATCH). That it cannot be set does no harm.
inline void give_way() {
  const sched_param none{};
  ::sched_setscheduler(0, SCHED_BATCH, &none);
}

// While it exists, threads that this one starts begin with all signals blocked: a handler of the
// program must not run there, and SIGXFSZ would kill the process where a write that fails with
// EFBIG can be reported.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace sharkcage::audit
