// What the launcher prepares once for all sandboxes, because it depends on the host alone.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "common/fd.h"
#include "supervisor/sandbox/exec_scope.h"
#include "supervisor/sandbox/system_files.h"

namespace sharkcage::sandbox {

struct Prepared {
  std::vector<sock_filter> filter_any;     // any program may run
  std::vector<sock_filter> filter_scoped;  // the policy names the programs
  int landlock_abi = 0;
  bool facade = false;  // /dev/fuse can be opened here
  UniqueFd names_lock;  // names_lock.h
  SystemFiles system;
  ExecLayout layout;
};

}  // namespace sharkcage::sandbox
