// The plan: everything that PID 1 of a sandbox does, decided beforehand by the monitor.
//
// PID 1 runs between clone and execve, where nothing may allocate or throw. So the monitor decides
// in ordinary C++ and writes it down here; PID 1 reads it and makes system calls.
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace sharkcage::sandbox {

// One step in building the root file system. Targets are relative to the new root.
struct Step {
  enum class Kind {
    kDirectory,  // an empty directory with `mode`
    kFile,       // a file with `mode` that holds `content`
    kLink,       // a symbolic link to `source`
    kTmpfs,      // an empty file system with `mode`, `size` bytes and `attributes`
    kBind,       // `source` of the host, with `attributes`
    kProc,       // a fresh /proc of the sandbox's processes, read-only
    kDevpts,     // terminals of the sandbox's own
    kMask,       // an empty file or directory that nobody may open, over what is there
    kPin,        // a directory, mounted on itself: what is a mount point cannot be moved
    kKeep,       // a file or directory inside a grant, mounted on itself read-only
  };
  Kind kind = Kind::kDirectory;
  std::string target;
  std::string source;
  std::string_view content;
  mode_t mode = 0755;
  std::uint64_t size = 0;
  std::uint64_t attributes = 0;  // MOUNT_ATTR_*
  bool directory = true;         // kBind: what the target is
  bool policy = false;     // comes from the policy: parents are made, links are never followed
  bool home = false;       // kTmpfs: the private home
  bool in_facade = false;  // what the target is belongs to the facade, if there is one
  bool judged = false;     // kBind: must be the file with this device and inode
  dev_t device = 0;
  ino_t inode = 0;
  std::size_t mask = 0;  // kMask: its number among them
  // kBind: the mount, made by the monitor of a privileged install; -1: PID 1 makes it.
  int detached = -1;
};

// A Landlock rule: what may be done at and below a path inside.
struct PathRule {
  std::string path;
  std::uint64_t access = 0;
};

struct RlimitRule {
  int resource = 0;
  std::uint64_t value = 0;
};

struct Plan {
  std::vector<Step> steps;

  // The ids to take on inside the user namespace, or -1: the only mapped id is there already.
  std::int64_t become_uid = -1;
  std::int64_t become_gid = -1;

  // PID 1's end of the pair to the facade, or -1: there is none, and the root is a tmpfs.
  int facade_link = -1;
  std::string home;             // of the private home, relative to the root; empty: none
  std::uint64_t home_size = 0;  // bytes

  bool tell_memory = false;     // the monitor wants to know how full file systems in memory are
  bool tell_processes = false;  // and how many there are when a command is over
  bool network = false;         // a listening socket for the proxy is wanted

  std::uint64_t landlock_handled = 0;  // 0: this kernel has no Landlock
  std::uint64_t landlock_scoped = 0;
  std::size_t landlock_attr_size = 0;
  std::vector<PathRule> landlock_rules;

  const std::vector<sock_filter>* filter = nullptr;
  std::vector<RlimitRule> rlimits;  // of every command
  bool exec_any = false;

  std::deque<std::string> texts;  // what `Step::content` of synthesized files refers to
};

}  // namespace sharkcage::sandbox
