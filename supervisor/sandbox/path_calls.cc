#include "supervisor/sandbox/path_calls.h"

#include <fcntl.h>
#include <sys/syscall.h>

namespace sharkcage::sandbox {
namespace {

PathCall opening(int dirfd, int path, std::uint64_t flags) {
  PathCall call{"read", path, dirfd};
  if ((flags & O_CREAT) != 0) {
    call.operation = "create";
    call.makes = true;
  } else if ((flags & O_TMPFILE) == O_TMPFILE) {
    call.operation = "create";
  } else if ((flags & O_PATH) != 0) {
    call.operation = "stat";
  } else if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0) {
    call.operation = "write";
  } else if ((flags & O_DIRECTORY) != 0) {
    call.operation = "list";
  }
  return call;
}

constexpr PathCall plain(std::string_view operation) {
  return {operation, 0};
}
constexpr PathCall at(std::string_view operation) {
  return {operation, 1, 0};
}
constexpr PathCall makes(PathCall call) {
  call.makes = true;
  return call;
}

// Those that arm64 never had.
PathCall older_call([[maybe_unused]] long number, [[maybe_unused]] const std::uint64_t* arguments) {
#ifdef __x86_64__
  switch (number) {
    case SYS_open:
      return opening(-1, 0, arguments[1]);
    case SYS_creat:
      return makes(plain("create"));
    case SYS_stat:
    case SYS_lstat:
    case SYS_readlink:
      return plain("stat");
    case SYS_access:
      return plain("access");
    case SYS_chmod:
    case SYS_chown:
    case SYS_lchown:
    case SYS_utime:
    case SYS_utimes:
      return plain("write");
    case SYS_futimesat:
      return at("write");
    case SYS_mkdir:
    case SYS_mknod:
      return makes(plain("create"));
    case SYS_symlink:
      return makes({"create", 1});
    case SYS_unlink:
    case SYS_rmdir:
      return plain("delete");
    case SYS_rename:
      return makes({"rename", 0, -1, 1});
    case SYS_link:
      return makes({"link", 0, -1, 1});
    default:
      break;
  }
#endif
  return {};
}

}  // namespace

PathCall path_call(long number, const std::uint64_t* arguments) {
  switch (number) {
    case SYS_openat:
      return opening(0, 1, arguments[2]);
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_readlinkat:  // most ask for each part of a path whether it is a link (realpath(3))
      return at("stat");
    case SYS_statfs:
    case SYS_getxattr:
    case SYS_lgetxattr:
    case SYS_listxattr:
    case SYS_llistxattr:
      return plain("stat");
    case SYS_faccessat:
    case SYS_faccessat2:
      return at("access");
    case SYS_chdir:
    case SYS_chroot:
    case SYS_inotify_add_watch:
      return number == SYS_inotify_add_watch ? PathCall{"access", 1} : plain("access");
    case SYS_execve:
      return plain("execute");
    case SYS_execveat:
      return at("execute");
    case SYS_fchmodat:
    case SYS_fchownat:
    case SYS_utimensat:
      return at("write");
    case SYS_truncate:
    case SYS_setxattr:
    case SYS_lsetxattr:
    case SYS_removexattr:
    case SYS_lremovexattr:
      return plain("write");
    case SYS_mkdirat:
    case SYS_mknodat:
      return makes(at("create"));
    case SYS_symlinkat:
      return makes({"create", 2, 1});
    case SYS_unlinkat:
      return at("delete");
    case SYS_renameat2:
#ifdef SYS_renameat
    case SYS_renameat:
#endif
      return makes({"rename", 1, 0, 3, 2});
    case SYS_linkat:
      return makes({"link", 1, 0, 3, 2});
    // Their paths are in structures.
    case SYS_connect:
      return {"connect"};
    case SYS_bind:
      return makes({"bind"});
    default:
      return older_call(number, arguments);
  }
}

}  // namespace sharkcage::sandbox
