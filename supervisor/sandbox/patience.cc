#include "supervisor/sandbox/patience.h"

#include <sys/time.h>

#include <csignal>

#include "common/errors.h"

namespace sharkcage::sandbox {
namespace {

constexpr timeval kFirst{0, 20'000};
constexpr timeval kAgain{0, 5'000};

void do_nothing(int) {}

}  // namespace

void Patience::prepare() {
  struct sigaction action {};
  action.sa_handler = do_nothing;  // without SA_RESTART: signal(7)
  if (::sigaction(SIGALRM, &action, nullptr) != 0) throw_errno("sigaction", "SIGALRM");
  sigset_t alarm;
  ::sigemptyset(&alarm);
  ::sigaddset(&alarm, SIGALRM);
  if (::sigprocmask(SIG_UNBLOCK, &alarm, nullptr) != 0) throw_errno("sigprocmask", "SIGALRM");
}

Patience::Patience() {
  const itimerval timer{kAgain, kFirst};
  if (::setitimer(ITIMER_REAL, &timer, nullptr) != 0) throw_errno("setitimer");
}

Patience::~Patience() {
  const itimerval none{};
  ::setitimer(ITIMER_REAL, &none, nullptr);
}

}  // namespace sharkcage::sandbox
