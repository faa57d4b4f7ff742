#include "supervisor/sandbox/watched_calls.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

namespace sharkcage::sandbox {
namespace {

constexpr std::uint64_t kSetId = S_ISUID | S_ISGID;
constexpr mode_t kAnyExecute = S_IXUSR | S_IXGRP | S_IXOTH;

// How a call names its file: by the argument after that of its directory, if it has one.
struct Shape {
  const char* operation;
  bool at;
  int mode = -1;       // the argument that may hold set-id bits, which are another refusal
  int flags = -1;      // the argument that may hold AT_SYMLINK_NOFOLLOW
  bool follow = true;  // without such an argument
};

std::optional<Shape> shape_of(int call) {
  switch (call) {
#ifdef SYS_chmod
    case SYS_chmod:
      return Shape{"write", false, 1};
    case SYS_chown:
    case SYS_utime:
    case SYS_utimes:
      return Shape{"write", false};
    case SYS_lchown:
      return Shape{"write", false, -1, -1, false};
    case SYS_futimesat:
      return Shape{"write", true};
#endif
    case SYS_fchmodat:
      return Shape{"write", true, 2};
    case SYS_fchownat:
      return Shape{"write", true, -1, 4};
    case SYS_utimensat:
      return Shape{"write", true, -1, 3};
    case SYS_setxattr:
    case SYS_removexattr:
      return Shape{"write", false};
    case SYS_lsetxattr:
    case SYS_lremovexattr:
      return Shape{"write", false, -1, -1, false};
    case SYS_execve:
      return Shape{"execute", false};
    case SYS_execveat:
      return Shape{"execute", true, -1, 4};
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<Answer> WatchedCalls::answer(const Notification& call, const Task& task) {
  const std::optional<Shape> shape = shape_of(call.call);
  if (!shape) return std::nullopt;
  const auto& args = call.args;
  if (shape->mode >= 0 && (args[static_cast<std::size_t>(shape->mode)] & kSetId) != 0) {
    return std::nullopt;
  }
  bool follow = shape->follow;
  if (shape->flags >= 0) {
    follow = (args[static_cast<std::size_t>(shape->flags)] & AT_SYMLINK_NOFOLLOW) == 0;
  }
  const bool executes = shape->operation[0] == 'e';
  look(task, shape->operation, executes ? ST_NOEXEC : ST_RDONLY,
       shape->at ? call.number(0) : AT_FDCWD, args[shape->at ? 1 : 0], follow);
  return Answer::go_on();
}

// What is not there is the facade's to tell.
void WatchedCalls::look(const Task& task, const char* operation, unsigned long refusing_mount,
                        int dirfd, std::uint64_t address, bool follow) {
  const GivenPath path = view_.given(task, dirfd, address);
  if (path.error != 0) return;
  const Found found = view_.find(task, path, follow);
  struct statvfs file_system {};
  struct stat status {};
  if (!found.file || ::fstatvfs(found.file.get(), &file_system) != 0 ||
      ::fstat(found.file.get(), &status) != 0 || (file_system.f_flag & refusing_mount) == 0) {
    return;
  }
  const bool executes = refusing_mount == ST_NOEXEC;
  if (executes && (!S_ISREG(status.st_mode) || (status.st_mode & kAnyExecute) == 0)) return;
  recorder_.add(task, operation, view_.real_path(found.file.get()));
}

}  // namespace sharkcage::sandbox
