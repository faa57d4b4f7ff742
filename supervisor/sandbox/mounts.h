// The mounts of a sandbox, by file descriptors (mount API of Linux 5.2: open_tree, fsopen,
// move_mount; mount_setattr of 5.12). Async-signal-safe.
#pragma once

#include <cstdint>

#include "supervisor/sandbox/facade_mount.h"
#include "supervisor/sandbox/init_channel.h"
#include "supervisor/sandbox/plan.h"

namespace sharkcage::sandbox {

// Where and why building failed. `what` is kNothing when it did not.
struct Failure {
  InitReport::What what = InitReport::kNothing;
  int error = 0;
  const char* path = "";
  explicit operator bool() const { return what != InitReport::kNothing; }
};

// A detached copy of the mounts at and below `step.source`, with the step's attributes and, if
// `user_namespace` is not -1, its ids mapped by it. Returns the descriptor, or -1 with `failure`
// set.
int clone_tree(const Step& step, int user_namespace, Failure& failure);

// Builds the root of `plan`, from what the facade serves if that can be mounted, and moves into it.
// The old root is gone afterwards.
Failure build_root(const Plan& plan, FacadeEnds& facade);

}  // namespace sharkcage::sandbox
