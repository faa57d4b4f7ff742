// Async-signal-safe: runs in PID 1 between clone and execve. No allocation, no exception, no
// locale.
#include "supervisor/sandbox/mounts.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "supervisor/sandbox/counts.h"
#include "supervisor/sandbox/network.h"
#include "supervisor/sandbox/syscalls.h"
#include "supervisor/sandbox/weakened.h"

namespace sharkcage::sandbox {
namespace {

using weakened::Layer;

constexpr const char* kMaskFile = ".mask-file";
constexpr const char* kMaskDirectory = ".mask-directory";
constexpr unsigned kWholeTree =
    OPEN_TREE_CLONE | static_cast<unsigned>(OPEN_TREE_CLOEXEC) | AT_RECURSIVE;
// The new root is attached here until it becomes the root. /proc of the host: every host has it,
// and no grant lies below it, so that no source is covered.
constexpr const char* kStagingPoint = "/proc";
constexpr std::uint64_t kPrivate = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

Failure fail(InitReport::What what, const char* path) {
  return {what, errno, path};
}

// Closes at the end of a scope. (UniqueFd would do; this one is visibly free of anything else.)
struct ScopedFd {
  int fd = -1;
  ~ScopedFd() {
    if (fd >= 0) ::close(fd);
  }
};

// A number as text, without stdio, for fsconfig.
const char* decimal(std::uint64_t value, char (&buffer)[24]) {
  char* out = buffer + sizeof buffer - 1;
  *out = '\0';
  do {
    *--out = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  return out;
}

const char* octal(mode_t mode, char (&buffer)[8]) {
  char* out = buffer + sizeof buffer - 1;
  *out = '\0';
  do {
    *--out = static_cast<char>('0' + (mode & 7));
    mode >>= 3;
  } while (mode != 0);
  return out;
}

int attach(int tree, int root, const char* target) {
  return ::move_mount(tree, "", root, target, MOVE_MOUNT_F_EMPTY_PATH);
}

// A descriptor of `target`, which is made with all of its parents if missing. Never follows a link:
// parts of the way may lie in a workspace, where other commands run at this moment.
int make_target(int root, const std::string& target, bool directory) {
  int at = ::fcntl(root, F_DUPFD_CLOEXEC, 3);
  char name[256];
  std::size_t start = 0;
  while (at >= 0 && start < target.size()) {
    std::size_t end = target.find('/', start);
    if (end == std::string::npos) end = target.size();
    const std::size_t length = end - start;
    const bool last = end == target.size();
    if (length == 0 || length >= sizeof name) {
      ::close(at);
      errno = ENAMETOOLONG;
      return -1;
    }
    std::memcpy(name, target.data() + start, length);
    name[length] = '\0';
    const bool want_directory = !last || directory;
    int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC | (want_directory ? O_DIRECTORY : 0);
    int next = ::openat(at, name, flags);
    if (next < 0 && errno == ENOENT) {
      const int made =
          want_directory ? ::mkdirat(at, name, 0755) : ::mknodat(at, name, S_IFREG | 0644, 0);
      if (made == 0 || errno == EEXIST) next = ::openat(at, name, flags);
    }
    const int error = errno;
    ::close(at);
    errno = error;
    at = next;
    start = end + 1;
  }
  struct stat status {};
  if (at >= 0 && !directory && (::fstat(at, &status) != 0 || S_ISLNK(status.st_mode))) {
    ::close(at);
    errno = ELOOP;
    return -1;
  }
  return at;
}

int attach_at_path(int tree, int root, const Step& step) {
  ScopedFd target{make_target(root, step.target, step.directory)};
  if (target.fd < 0) return -1;
  return ::move_mount(tree, "", target.fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

Failure write_file(int root, const Step& step) {
  const char* target = step.target.c_str();
  ScopedFd file{::openat(root, target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, step.mode)};
  if (file.fd < 0) return fail(InitReport::kRoot, target);
  std::string_view rest = step.content;
  while (!rest.empty()) {
    const ssize_t written = ::write(file.fd, rest.data(), rest.size());
    if (written < 0) return fail(InitReport::kRoot, target);
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

// A new tmpfs, detached, or -1.
int new_tmpfs(mode_t mode, std::uint64_t size, std::uint64_t attributes) {
  ScopedFd context{::fsopen("tmpfs", FSOPEN_CLOEXEC)};
  if (context.fd < 0) return -1;
  char mode_text[8];
  char number[24];
  if (::fsconfig(context.fd, FSCONFIG_SET_STRING, "mode", octal(mode, mode_text), 0) != 0)
    return -1;
  if (size != 0 && !weakened::leaves_out(Layer::kLimits)) {
    // As many files as pages of 4 KiB: an empty file costs memory of the kernel, too.
    if (::fsconfig(context.fd, FSCONFIG_SET_STRING, "size", decimal(size, number), 0) != 0 ||
        ::fsconfig(context.fd, FSCONFIG_SET_STRING, "nr_inodes", decimal(size / 4096 + 64, number),
                   0) != 0) {
      return -1;
    }
  }
  if (::fsconfig(context.fd, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return -1;
  return ::fsmount(context.fd, FSMOUNT_CLOEXEC, static_cast<unsigned>(weakened::kept(attributes)));
}

Failure mount_tmpfs(int root, const Step& step) {
  ScopedFd tree{new_tmpfs(step.mode, step.size, step.attributes)};
  if (tree.fd < 0 || attach_at_path(tree.fd, root, step) != 0) {
    return fail(InitReport::kMountTmpfs, step.target.c_str());
  }
  return {};
}

// The home of the facade, which lives as long as the sandbox.
Failure mount_home(int root, int facade, const Step& step) {
  ScopedFd tree{clone_facade(facade, "home", weakened::kept(step.attributes))};
  if (tree.fd < 0 || attach_at_path(tree.fd, root, step) != 0) {
    return fail(InitReport::kFacade, step.target.c_str());
  }
  return {};
}

Failure mount_fresh(int root, const Step& step, const char* type, InitReport::What what) {
  ScopedFd context{::fsopen(type, FSOPEN_CLOEXEC)};
  if (context.fd < 0) return fail(what, step.target.c_str());
  if (step.kind == Step::Kind::kDevpts &&
      (::fsconfig(context.fd, FSCONFIG_SET_FLAG, "newinstance", nullptr, 0) != 0 ||
       ::fsconfig(context.fd, FSCONFIG_SET_STRING, "ptmxmode", "0666", 0) != 0 ||
       ::fsconfig(context.fd, FSCONFIG_SET_STRING, "mode", "0620", 0) != 0)) {
    return fail(what, step.target.c_str());
  }
  if (::fsconfig(context.fd, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return fail(what, step.target.c_str());
  }
  mount_attr attributes{};
  attributes.attr_set = weakened::kept(step.attributes);
  if (step.kind == Step::Kind::kProc && weakened::leaves_out(Layer::kProc)) {
    attributes.attr_set &= ~std::uint64_t{MOUNT_ATTR_RDONLY};
  }
  ScopedFd tree{::fsmount(context.fd, FSMOUNT_CLOEXEC, 0)};
  if (tree.fd >= 0 && step.kind == Step::Kind::kProc) {
    bound_counts(tree.fd);
    if (keep_marks(tree.fd) != 0) {
      return fail(InitReport::kMarks, "/proc/sys/net/ipv4/tcp_fwmark_accept");
    }
  }
  if (tree.fd < 0 ||
      ::mount_setattr(tree.fd, "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0 ||
      attach(tree.fd, root, step.target.c_str()) != 0) {
    return fail(what, step.target.c_str());
  }
  return {};
}

Failure bind(int root, const Step& step) {
  Failure failure;
  ScopedFd tree{step.detached >= 0 ? step.detached : clone_tree(step, -1, failure)};
  if (tree.fd < 0) return failure;
  const int attached = step.policy ? attach_at_path(tree.fd, root, step)
                                   : attach(tree.fd, root, step.target.c_str());
  if (attached != 0) {
    return fail(step.policy ? InitReport::kMakePath : InitReport::kMountBind, step.target.c_str());
  }
  return {};
}

// What a step of the policy is about, without following links, or -1.
int open_inside(int root, const Step& step) {
  return sys::openat2(root, step.target.c_str(), O_PATH,
                      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

int attach_over(int tree, int target) {
  return ::move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

// What masks an entry of this type: an empty one that nobody may open.
int clone_mask(int root, int facade, const Step& step, bool directory) {
  constexpr std::uint64_t kAttributes =
      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (facade < 0) {
    return clone_facade(root, directory ? kMaskDirectory : kMaskFile, kAttributes);
  }
  char name[48];
  char number[24];
  std::strcpy(name, directory ? "mask-directory-" : "mask-file-");
  std::strcat(name, decimal(step.mask, number));
  return clone_facade(facade, name, kAttributes);
}

Failure mask(int root, int facade, const Step& step) {
  const bool of_proc = step.target.starts_with("proc/");
  if (weakened::leaves_out(of_proc ? Layer::kProc : Layer::kHidden)) return {};
  ScopedFd target{open_inside(root, step)};
  // What is no longer there needs no mask.
  if (target.fd < 0 && errno == ENOENT) return {};
  struct stat status {};
  if (target.fd < 0 || ::fstat(target.fd, &status) != 0) {
    return fail(InitReport::kMask, step.target.c_str());
  }
  ScopedFd tree{clone_mask(root, facade, step, S_ISDIR(status.st_mode))};
  if (tree.fd < 0 || attach_over(tree.fd, target.fd) != 0) {
    return fail(InitReport::kMask, step.target.c_str());
  }
  return {};
}

// rename(2) refuses mount points of the caller's namespace: EBUSY. What is not there, or is a link,
// needs no mount.
Failure mount_on_itself(int root, const Step& step, std::uint64_t attributes) {
  constexpr unsigned kClone =
      OPEN_TREE_CLONE | static_cast<unsigned>(OPEN_TREE_CLOEXEC) | AT_RECURSIVE | AT_EMPTY_PATH;
  if (weakened::leaves_out(attributes == 0 ? Layer::kHidden : Layer::kNames)) return {};
  ScopedFd target{open_inside(root, step)};
  if (target.fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) return {};
  ScopedFd tree{target.fd < 0 ? -1 : ::open_tree(target.fd, "", kClone)};
  mount_attr wanted{};
  wanted.attr_set = weakened::kept(attributes);
  if (tree.fd < 0 ||
      (attributes != 0 &&
       ::mount_setattr(tree.fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &wanted, sizeof wanted) != 0) ||
      attach_over(tree.fd, target.fd) != 0) {
    return fail(InitReport::kMask, step.target.c_str());
  }
  return {};
}

// `facade`: the top of what it serves, or -1: the root is a tmpfs, where everything is to be made.
Failure apply(int root, int facade, const Step& step) {
  const char* target = step.target.c_str();
  const bool ready = facade >= 0 && step.in_facade;
  switch (step.kind) {
    case Step::Kind::kDirectory:
      if (ready) return {};
      if (step.policy) {
        ScopedFd made{make_target(root, step.target, true)};
        if (made.fd < 0) return fail(InitReport::kMakePath, target);
      } else if (::mkdirat(root, target, step.mode) != 0 && errno != EEXIST) {
        return fail(InitReport::kRoot, target);
      }
      return {};
    case Step::Kind::kFile:
      return ready ? Failure{} : write_file(root, step);
    case Step::Kind::kLink:
      if (ready) return {};
      if (::symlinkat(step.source.c_str(), root, target) != 0 && errno != EEXIST) {
        return fail(InitReport::kRoot, target);
      }
      return {};
    case Step::Kind::kTmpfs:
      return facade >= 0 && step.home ? mount_home(root, facade, step) : mount_tmpfs(root, step);
    case Step::Kind::kBind:
      return bind(root, step);
    case Step::Kind::kProc:
      return mount_fresh(root, step, "proc", InitReport::kMountProc);
    case Step::Kind::kDevpts:
      return mount_fresh(root, step, "devpts", InitReport::kMountDevpts);
    case Step::Kind::kMask:
      return mask(root, facade, step);
    case Step::Kind::kPin:
      return mount_on_itself(root, step, 0);
    case Step::Kind::kKeep:
      return mount_on_itself(root, step, MOUNT_ATTR_RDONLY);
  }
  return {};
}

// Without a facade: the two things that masks are copies of. Their names vanish before the root
// becomes visible.
Failure make_masks(int root) {
  if (::mkdirat(root, kMaskDirectory, 0) != 0) return fail(InitReport::kRoot, kMaskDirectory);
  if (::mknodat(root, kMaskFile, S_IFREG, 0) != 0) return fail(InitReport::kRoot, kMaskFile);
  return {};
}

void remove_masks(int root) {
  ::unlinkat(root, kMaskFile, 0);
  ::unlinkat(root, kMaskDirectory, AT_REMOVEDIR);
}

// The new root, attached, in `root`: the facade's, whose `top` is attached below it, or a tmpfs.
Failure stage(int top, ScopedFd& root) {
  root.fd = top >= 0 ? -1 : new_tmpfs(0755, 0, kPrivate);
  const int lowest = top >= 0 ? top : root.fd;
  if (lowest < 0) return fail(InitReport::kMountTmpfs, "/");
  if (attach(lowest, AT_FDCWD, kStagingPoint) != 0) return fail(InitReport::kRoot, "/");
  if (top < 0) return make_masks(root.fd);
  look_ahead(top, ".");
  root.fd = clone_facade(top, "root", kPrivate);
  if (root.fd < 0 || attach(root.fd, top, "root") != 0) return fail(InitReport::kFacade, "/");
  for (const char* directory : {".", "etc", "dev"}) look_ahead(root.fd, directory);
  return {};
}

Failure enter(int root) {
  mount_attr read_only{};
  read_only.attr_set = weakened::kept(MOUNT_ATTR_RDONLY);
  // pivot_root(2), "pivot_root(".", ".")": the old root is stacked on the new one and then
  // detached.
  if (::mount_setattr(root, "", AT_EMPTY_PATH, &read_only, sizeof read_only) != 0 ||
      ::fchdir(root) != 0 || sys::pivot_root(".", ".") != 0 || ::umount2(".", MNT_DETACH) != 0 ||
      ::chdir("/") != 0) {
    return fail(InitReport::kPivot, "/");
  }
  return {};
}

}  // namespace

int clone_tree(const Step& step, int user_namespace, Failure& failure) {
  const char* source = step.source.c_str();
  const unsigned clone =
      OPEN_TREE_CLONE | static_cast<unsigned>(OPEN_TREE_CLOEXEC) | AT_RECURSIVE | AT_EMPTY_PATH;
  ScopedFd opened;
  int tree = -1;
  if (step.judged) {
    opened.fd = sys::openat2(AT_FDCWD, source, O_PATH, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
    struct stat status {};
    if (opened.fd < 0 || ::fstat(opened.fd, &status) != 0) {
      failure = fail(InitReport::kMountBind, source);
      return -1;
    }
    if (status.st_dev != step.device || status.st_ino != step.inode) {
      failure = {InitReport::kChanged, 0, source};
      return -1;
    }
    tree = ::open_tree(opened.fd, "", clone);
  } else {
    tree = ::open_tree(AT_FDCWD, source, clone);
  }
  mount_attr attributes{};
  attributes.attr_set =
      weakened::kept(step.attributes) | (user_namespace >= 0 ? MOUNT_ATTR_IDMAP : 0);
  attributes.propagation = MS_PRIVATE;
  attributes.userns_fd = user_namespace >= 0 ? static_cast<std::uint64_t>(user_namespace) : 0;
  if (tree < 0 || ::mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                                  sizeof attributes) != 0) {
    failure = fail(
        user_namespace >= 0 && tree >= 0 ? InitReport::kIdentity : InitReport::kMountBind, source);
    if (tree >= 0) ::close(tree);
    return -1;
  }
  return tree;
}

Failure build_root(const Plan& plan, FacadeEnds& ends) {
  if (weakened::leaves_out(Layer::kView)) {
    leave_facade(ends, 0);
    return {};
  }
  ScopedFd storage{ends.link < 0 ? -1 : new_tmpfs(0700, plan.home_size, kPrivate)};
  ScopedFd top{mount_facade(ends, storage.fd)};
  // A /proc can be mounted by the owner of its pid namespace only: without one it is the host's.
  ScopedFd host_proc{
      weakened::leaves_out(Layer::kProcesses) ? ::open_tree(AT_FDCWD, "/proc", kWholeTree) : -1};
  ScopedFd root;
  if (Failure failure = stage(top.fd, root)) return failure;
  for (const Step& step : plan.steps) {
    if (step.kind == Step::Kind::kProc && host_proc.fd >= 0) {
      if (attach(host_proc.fd, root.fd, step.target.c_str()) == 0) continue;
      return fail(InitReport::kMountProc, "/proc");
    }
    if (Failure failure = apply(root.fd, top.fd, step)) return failure;
  }
  if (top.fd < 0) remove_masks(root.fd);
  if (Failure failure = enter(root.fd)) return failure;
  if (top.fd >= 0 && seal_facade(ends) != 0) return fail(InitReport::kFacade, "/");
  return {};
}

}  // namespace sharkcage::sandbox
