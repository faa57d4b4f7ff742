// How many processes descend from one.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace sharkcage {

// `root` and all of its descendants, from /proc; 0 when it is gone. A number for people: processes
// that come and go meanwhile may be missed.
std::size_t count_process_tree(pid_t root);

}  // namespace sharkcage
