// The signals that the client of a command passes on to it. C, since sc-exec has no C++ library.
#pragma once

#include <signal.h>

namespace sharkcage::cli {

inline constexpr int kForwarded[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,
                                     SIGUSR2, SIGTSTP, SIGCONT, SIGWINCH};

}  // namespace sharkcage::cli
