#include "supervisor/sandbox/file_calls.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace sharkcage::sandbox {
namespace {

constexpr int kTmpfile = O_TMPFILE & ~O_DIRECTORY;
constexpr mode_t kSetId = S_ISUID | S_ISGID;
// A name that is made and deleted by others at the same time.
constexpr int kMaxTries = 16;
// Of PID 1 and the keepers, whose memory nobody reads (keeper.cc, open_terminal).
constexpr int kTerminalFlags = O_RDWR | O_NOCTTY | O_CLOEXEC;
// fcntl(2), F_SETFL.
constexpr int kStatusFlags = O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK;
constexpr unsigned kFirstTerminalMajor = 136;  // /dev/pts, eight of them
constexpr unsigned kLastTerminalMajor = 143;

bool writes(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
}

bool is_kind(int directory, const std::string& name, mode_t kind) {
  struct stat status {};
  return ::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         (status.st_mode & S_IFMT) == kind;
}

bool is_kind(int fd, mode_t kind) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && (status.st_mode & S_IFMT) == kind;
}

int error_of(int result) {
  return result == 0 ? 0 : errno;
}

// What a process writes beside others' files as a matter of course, and does without.
bool is_innocent(const std::string& path) {
  return path.find("/__pycache__") != std::string::npos;
}

// git tries whether it can make links: .git/tXXXXXX, which it deletes again.
bool is_probe(const std::string& real, const std::string& text) {
  const std::string name = real.substr(real.rfind('/') + 1);
  return text == "testing" && name.size() == 7 && name[0] == 't' && real.ends_with("/.git/" + name);
}

}  // namespace

std::optional<Answer> FileCalls::answer(const Notification& call, const Task& task) {
  const auto& args = call.args;
  switch (call.call) {
#ifdef SYS_open
    case SYS_open:
      return open(call, task, AT_FDCWD, 0, call.number(1), static_cast<mode_t>(args[2]));
    case SYS_creat:
      return open(call, task, AT_FDCWD, 0, O_CREAT | O_WRONLY | O_TRUNC,
                  static_cast<mode_t>(args[1]));
    case SYS_mkdir:
      return make_directory(call, task, AT_FDCWD, 0);
    case SYS_mknod:
      return make_node(call, task, AT_FDCWD, 0);
    case SYS_symlink:
      return make_link(call, task, args[0], AT_FDCWD, args[1]);
    case SYS_link:
      return link(call, task, AT_FDCWD, args[0], AT_FDCWD, args[1], 0);
    case SYS_rename:
      return rename(call, task, AT_FDCWD, args[0], AT_FDCWD, args[1], 0);
    case SYS_unlink:
      return remove(call, task, AT_FDCWD, 0, 0);
    case SYS_rmdir:
      return remove(call, task, AT_FDCWD, 0, AT_REMOVEDIR);
#endif
#ifdef SYS_renameat
    case SYS_renameat:
      return rename(call, task, call.number(0), args[1], call.number(2), args[3], 0);
#endif
    case SYS_openat:
      return open(call, task, call.number(0), 1, call.number(2), static_cast<mode_t>(args[3]));
    case SYS_mkdirat:
      return make_directory(call, task, call.number(0), 1);
    case SYS_mknodat:
      return make_node(call, task, call.number(0), 1);
    case SYS_symlinkat:
      return make_link(call, task, args[0], call.number(1), args[2]);
    case SYS_linkat:
      return link(call, task, call.number(0), args[1], call.number(2), args[3], call.number(4));
    case SYS_renameat2:
      return rename(call, task, call.number(0), args[1], call.number(2), args[3],
                    static_cast<unsigned>(args[4]));
    case SYS_unlinkat:
      return remove(call, task, call.number(0), 1, call.number(2));
    case SYS_truncate:
      return truncate(call, task);
    default:
      return std::nullopt;
  }
}

Answer FileCalls::open(const Notification& call, const Task& task, int dirfd, std::size_t first,
                       int flags, mode_t mode) {
  // Opens no file: all of its other flags are ignored, and they are registers.
  if ((flags & O_PATH) != 0) return Answer::go_on();
  const bool creates = (flags & (O_CREAT | kTmpfile)) != 0;
  if (creates && (mode & kSetId) != 0) {
    recorder_.add(task, "system call", "openat");
    return Answer::refused(EPERM);
  }
  const GivenPath path = view_.given(task, dirfd, call.args[first]);
  if (path.error == EPERM && flags == kTerminalFlags) {
    UniqueFd terminal(::open("/dev/ptmx", flags));
    return terminal ? Answer::descriptor(std::move(terminal), true) : Answer::refused(errno);
  }
  if (path.error != 0) return Answer::refused(path.error);
  if (!listener_.valid(call)) return Answer::refused(EINTR);
  const bool fresh = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
  const bool follow = (flags & O_NOFOLLOW) == 0 && !fresh;
  for (int tries = 0; tries < kMaxTries; ++tries) {
    Found found = view_.find(task, path, follow);
    if (found.file) {
      if (fresh) return Answer::refused(EEXIST);
      if (!follow && is_kind(found.file.get(), S_IFLNK)) return Answer::refused(ELOOP);
      if ((flags & kTmpfile) != 0) ::umask(task.status().mask);
      return open_existing(task, path, found.file.get(), flags);
    }
    const bool possible = found.directory && (flags & O_CREAT) != 0;
    if (!possible) return missing(task, creates ? "create" : "write", path, found.error);
    Answer answer = open_new(task, path, found, flags, mode);
    if (answer.kind != Answer::Kind::kError || answer.error != EEXIST || fresh) return answer;
  }
  return Answer::refused(EEXIST);
}

// The very file that was looked at, through its descriptor. It never blocks us: a FIFO without a
// reader, a file with a lease are tried again until they open, if the command wants to wait.
Answer FileCalls::open_existing(const Task& task, const GivenPath& path, int file, int flags) {
  const std::string real = view_.real_path(file);
  if (real.empty()) return Answer::refused(ENAMETOOLONG);
  if (real == "/dev/tty") return open_terminal(task, flags);
  const bool unnamed = (flags & kTmpfile) != 0;
  if (writes(flags)) {
    const int refused = unnamed || git_.is_own_lock(file) ? 0 : judge(task, "write", real, real);
    if (refused != 0) return Answer::refused(refused);
    if (outside_of_writable(real, file)) {
      return result(task, "write", real, view_.meant(path), EACCES);
    }
  }
  const int ours = (flags & ~(O_EXCL | O_NOFOLLOW)) | O_NONBLOCK | O_NOCTTY;
  UniqueFd opened = view_.reopen(file, ours, 0600);
  if (!opened) {
    const int error = errno;
    const bool waits = (flags & O_NONBLOCK) == 0;
    if (waits && ((error == ENXIO && is_kind(file, S_IFIFO)) || error == EWOULDBLOCK)) {
      return Answer::later();
    }
    return result(task, unnamed ? "create" : "write", real, view_.meant(path), error);
  }
  if ((flags & O_NONBLOCK) == 0) ::fcntl(opened.get(), F_SETFL, flags & kStatusFlags);
  Answer answer = Answer::descriptor(std::move(opened), (flags & O_CLOEXEC) != 0);
  answer.at_once = real.starts_with("/dev/") && !real.starts_with("/dev/shm/");  // no program
  return answer;
}

// /dev/tty is whose terminal it is, and ours is none.
Answer FileCalls::open_terminal(const Task& task, int flags) {
  const unsigned device = task.terminal();
  const unsigned kind = (device >> 8) & 0xfff;
  const unsigned minor_number = (device & 0xff) | ((device >> 12) & 0xfff00);
  if (kind < kFirstTerminalMajor || kind > kLastTerminalMajor) return Answer::refused(ENXIO);
  const unsigned number = (kind - kFirstTerminalMajor) * 256 + minor_number;
  const std::string path = "/dev/pts/" + std::to_string(number);
  UniqueFd opened(::open(path.c_str(), (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!opened) return Answer::refused(ENXIO);
  if ((flags & O_NONBLOCK) == 0) ::fcntl(opened.get(), F_SETFL, flags & kStatusFlags);
  return Answer::descriptor(std::move(opened), (flags & O_CLOEXEC) != 0);
}

Answer FileCalls::open_new(const Task& task, const GivenPath& path, Found& found, int flags,
                           mode_t mode) {
  if (found.last.ends_with('/')) return Answer::refused(EISDIR);
  const Spot spot = view_.spot(std::move(found.directory), found.last);
  if (spot.error != 0) return missing(task, "create", path, spot.error);
  ::umask(task.status().mask);
  const NameKind kind = names_.kind_of(spot.real);
  if (kind == NameKind::kGit || kind == NameKind::kProtected) {
    int error = 0;
    UniqueFd ignored = git_.make_worktree_file(spot, mode, error);
    if (ignored) return Answer::descriptor(std::move(ignored), (flags & O_CLOEXEC) != 0);
    if (error != EACCES) return Answer::refused(error);
  }
  const bool lock = kind == NameKind::kGitLock && git_.may_lock(spot);
  if (const int refused = lock ? 0 : judge_new(task, "create", spot, spot.real)) {
    return Answer::refused(refused);
  }
  if (outside_of_writable(spot.real, spot.directory.get())) {
    return result(task, "create", spot.real, view_.meant(path), EACCES);
  }
  const int ours = flags | O_EXCL | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC;
  UniqueFd made(::openat(spot.directory.get(), spot.last.c_str(), ours, mode));
  if (!made) return result(task, "create", spot.real, view_.meant(path), errno);
  if (lock || kind == NameKind::kGitInside) git_.file_made(spot);
  return Answer::descriptor(std::move(made), (flags & O_CLOEXEC) != 0);
}

Answer FileCalls::make_directory(const Notification& call, const Task& task, int dirfd,
                                 std::size_t first) {
  const GivenPath path = view_.given(task, dirfd, call.args[first]);
  if (path.error != 0) return Answer::refused(path.error);
  if (!listener_.valid(call)) return Answer::refused(EINTR);
  const auto mode = static_cast<mode_t>(call.args[first + 1]);
  if ((mode & kSetId) != 0) {
    recorder_.add(task, "system call", "mkdirat");
    return Answer::refused(EPERM);
  }
  const Spot spot = view_.spot(path);
  if (spot.error != 0) return missing(task, "create", path, spot.error);
  const NameKind kind = names_.kind_of(spot.real);
  const bool repository = kind == NameKind::kGit || kind == NameKind::kBareGit;
  if (!repository && !is_kind(spot.directory.get(), spot.last, S_IFDIR)) {
    if (const int refused = judge_new(task, "create", spot, spot.real)) {
      return Answer::refused(refused);
    }
  }
  if (outside_of_writable(spot.real, spot.directory.get())) {
    return result(task, "create", spot.real, view_.meant(path), EACCES);
  }
  ::umask(task.status().mask);
  const int error = error_of(::mkdirat(spot.directory.get(), spot.last.c_str(), mode));
  if (error == 0 && repository) git_.repository_made(spot.directory.get(), spot.last);
  if (error == 0) return Answer::of(0);
  return result(task, "create", spot.real, view_.meant(path), error);
}

Answer FileCalls::make_node(const Notification& call, const Task& task, int dirfd,
                            std::size_t first) {
  const GivenPath path = view_.given(task, dirfd, call.args[first]);
  if (path.error != 0) return Answer::refused(path.error);
  if (!listener_.valid(call)) return Answer::refused(EINTR);
  const auto mode = static_cast<mode_t>(call.args[first + 1]);
  // Devices are never made, nor overlays' white marks, which are devices.
  const bool device = S_ISCHR(mode) || S_ISBLK(mode);
  if (device || (mode & kSetId) != 0) {
    recorder_.add(task, "system call", "mknodat");
    return Answer::refused(EPERM);
  }
  const Spot spot = view_.spot(path);
  if (spot.error != 0) return missing(task, "create", path, spot.error);
  if (const int refused = judge_new(task, "create", spot, spot.real)) {
    return Answer::refused(refused);
  }
  if (outside_of_writable(spot.real, spot.directory.get())) {
    return result(task, "create", spot.real, view_.meant(path), EACCES);
  }
  ::umask(task.status().mask);
  const int error = error_of(::mknodat(spot.directory.get(), spot.last.c_str(), mode, 0));
  if (error == 0) return Answer::of(0);
  return result(task, "create", spot.real, view_.meant(path), error);
}

Answer FileCalls::make_link(const Notification& call, const Task& task, std::uint64_t text_address,
                            int dirfd, std::uint64_t address) {
  std::string text;
  if (const int error = task.read_path(text_address, text)) return Answer::refused(error);
  const GivenPath path = view_.given(task, dirfd, address);
  if (path.error != 0) return Answer::refused(path.error);
  if (!listener_.valid(call)) return Answer::refused(EINTR);
  const Spot spot = view_.spot(path);
  if (spot.error != 0) return missing(task, "create", path, spot.error);
  int refused = judge_new(task, "create", spot, spot.real);
  if (refused == 0 && names_.kind_of(spot.real) == NameKind::kGitInside &&
      !is_probe(spot.real, text)) {
    recorder_.add(task, "create", spot.real);
    refused = EACCES;
  }
  if (refused != 0) return Answer::refused(refused);
  if (outside_of_writable(spot.real, spot.directory.get())) {
    return result(task, "create", spot.real, view_.meant(path), EACCES);
  }
  const int error = error_of(::symlinkat(text.c_str(), spot.directory.get(), spot.last.c_str()));
  if (error == 0) return Answer::of(0);
  return result(task, "create", spot.real, view_.meant(path), error);
}

Answer FileCalls::link(const Notification& call, const Task& task, int old_dirfd,
                       std::uint64_t old_address, int new_dirfd, std::uint64_t new_address,
                       int flags) {
  if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0) return Answer::refused(EINVAL);
  const GivenPath from = view_.given(task, old_dirfd, old_address);
  const bool by_descriptor = from.error == ENOENT && (flags & AT_EMPTY_PATH) != 0;
  if (from.error != 0 && !by_descriptor) return Answer::refused(from.error);
  const GivenPath path = view_.given(task, new_dirfd, new_address);
  if (path.error != 0) return Answer::refused(path.error);
  UniqueFd file;
  if (by_descriptor) {
    file = task.descriptor(old_dirfd);
    if (!file) return Answer::refused(EBADF);
  }
  if (!listener_.valid(call)) return Answer::refused(EINTR);
  if (!by_descriptor) {
    Found found = view_.find(task, from, (flags & AT_SYMLINK_FOLLOW) != 0);
    if (!found.file) {
      return missing(task, "link", from, found.error, view_.meant(from), view_.meant(path));
    }
    file = std::move(found.file);
  }
  const Spot spot = view_.spot(path);
  const std::string real = view_.real_path(file.get());
  // A path that cannot be told cannot be judged.
  if (real.empty()) return Answer::refused(ENAMETOOLONG);
  if (spot.error != 0) {
    return missing(task, "link", path, spot.error, real, view_.meant(path));
  }
  int refused = judge(task, "link", real, real, spot.real);
  if (refused == 0) refused = judge_new(task, "link", spot, real, spot.real);
  // A link to a link would bring one in.
  if (refused == 0 && names_.kind_of(spot.real) == NameKind::kGitInside &&
      is_kind(file.get(), S_IFLNK)) {
    recorder_.add(task, "link", real, spot.real);
    refused = EACCES;
  }
  if (refused != 0) return Answer::refused(refused);
  if (outside_of_writable(spot.real, spot.directory.get())) {
    return result(task, "link", spot.real, real, EACCES, spot.real);
  }
  const int error = error_of(::linkat(view_.self(), std::to_string(file.get()).c_str(),
                                      spot.directory.get(), spot.last.c_str(), AT_SYMLINK_FOLLOW));
  return result(task, "link", spot.real, real, error, spot.real);
}

Answer FileCalls::rename(const Notification& call, const Task& task, int old_dirfd,
                         std::uint64_t old_address, int new_dirfd, std::uint64_t new_address,
                         unsigned flags) {
  const GivenPath from = view_.given(task, old_dirfd, old_address);
  if (from.error != 0) return Answer::refused(from.error);
  const GivenPath to = view_.given(task, new_dirfd, new_address);
  if (to.error != 0) return Answer::refused(to.error);
  if (!listener_.valid(call)) return Answer::refused(EINTR);
  // RENAME_WHITEOUT leaves a device.
  if ((flags & ~static_cast<unsigned>(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) {
    return Answer::refused(EINVAL);
  }
  Spot source = view_.open(from);
  Spot target = view_.open(to);
  view_.enter(source);
  view_.enter(target);
  if (source.error != 0 || target.error != 0) {
    const bool first = source.error != 0;
    return missing(task, "rename", first ? from : to, first ? source.error : target.error,
                   view_.meant(from), view_.meant(to));
  }
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  if (names_.kind_of(target.real) == NameKind::kGitConfig && source.last == "config.lock" &&
      flags == 0) {
    int error = 0;
    const std::string refused = git_.replace_config(source, target, error);
    if (error == 0) return Answer::of(0);
    recorder_.add(task, "rename", source.real, target.real + " (" + refused + ")");
    return Answer::refused(error);
  }
  if (!names_.may_move(source, target) || (exchange && !names_.may_move(target, source))) {
    recorder_.add(task, "rename", source.real, target.real);
    return Answer::refused(EACCES);
  }
  if (outside_of_writable(source.real, source.directory.get()) ||
      outside_of_writable(target.real, target.directory.get())) {
    return result(task, "rename", source.real, view_.meant(from), EACCES, view_.meant(to));
  }
  const int error = error_of(
      static_cast<int>(::syscall(SYS_renameat2, source.directory.get(), source.last.c_str(),
                                 target.directory.get(), target.last.c_str(), flags)));
  if (error == 0) return Answer::of(0);
  if (error == ENOENT) {
    return missing(task, "rename", from, error, view_.meant(from), view_.meant(to));
  }
  return result(task, "rename", source.real, view_.meant(from), error, view_.meant(to));
}

Answer FileCalls::remove(const Notification& call, const Task& task, int dirfd, std::size_t first,
                         int flags) {
  const GivenPath path = view_.given(task, dirfd, call.args[first]);
  if (path.error != 0) return Answer::refused(path.error);
  if (!listener_.valid(call)) return Answer::refused(EINTR);
  Spot spot = view_.look(path);
  const bool lock = names_.kind_of(spot.real) == NameKind::kGitLock;
  if (lock) spot = view_.spot(path);
  if (spot.error != 0) return missing(task, "delete", path, spot.error);
  if (outside_of_writable(spot.real, spot.directory.get())) {
    return result(task, "delete", spot.real, view_.meant(path), EACCES);
  }
  if (lock && is_kind(spot.directory.get(), spot.last, S_IFREG) && !git_.is_own_lock(spot)) {
    recorder_.add(task, "delete", spot.real);
    return Answer::refused(EACCES);
  }
  const int error = error_of(::unlinkat(spot.directory.get(), spot.last.c_str(), flags));
  if (lock) git_.lock_deleted();
  if (error == ENOENT) return missing(task, "delete", path, error);
  if (error == 0) return Answer::of(0);
  return result(task, "delete", spot.real, view_.meant(path), error);
}

Answer FileCalls::truncate(const Notification& call, const Task& task) {
  const GivenPath path = view_.given(task, AT_FDCWD, call.args[0]);
  if (path.error != 0) return Answer::refused(path.error);
  if (!listener_.valid(call)) return Answer::refused(EINTR);
  const auto length = static_cast<off_t>(call.args[1]);
  if (length < 0) return Answer::refused(EINVAL);
  const Found found = view_.find(task, path, true);
  if (!found.file) return missing(task, "write", path, found.error);
  if (is_kind(found.file.get(), S_IFDIR)) return Answer::refused(EISDIR);
  if (!is_kind(found.file.get(), S_IFREG)) return Answer::refused(EINVAL);
  const std::string real = view_.real_path(found.file.get());
  if (real.empty()) return Answer::refused(ENAMETOOLONG);
  if (const int refused = judge(task, "write", real, real)) return Answer::refused(refused);
  if (outside_of_writable(real, found.file.get())) {
    return result(task, "write", real, view_.meant(path), EACCES);
  }
  const UniqueFd opened = view_.reopen(found.file.get(), O_WRONLY | O_NONBLOCK, 0);
  const int error = opened ? error_of(::ftruncate(opened.get(), length)) : errno;
  if (error == 0) return Answer::of(0);
  if (error == EFBIG) recorder_.add(task, "limit", "file size");
  return result(task, "write", real, view_.meant(path), error);
}

int FileCalls::judge_new(const Task& task, const char* operation, const Spot& spot,
                         const std::string& meant, const std::string& to) {
  if (!names_.completes_repository(spot)) return judge(task, operation, spot.real, meant, to);
  recorder_.add(task, operation, meant, to);
  return EACCES;
}

int FileCalls::judge(const Task& task, const char* operation, const std::string& real,
                     const std::string& meant, const std::string& to) {
  if (names_.is_open(real)) return 0;
  recorder_.add(task, operation, meant, to);
  return EACCES;
}

// What Landlock says to the command itself (landlock.cc), in case that a mount were wrong. A
// read-only mount does not keep from writing to a FIFO, whose reader can be anybody.
bool FileCalls::outside_of_writable(const std::string& real, int fd) const {
  if (!rules_.second_layer || real.empty() || rules_.may_write(real)) return false;
  struct statvfs file_system {};
  const bool read_only = ::fstatvfs(fd, &file_system) == 0 && (file_system.f_flag & ST_RDONLY) != 0;
  return !read_only || is_kind(fd, S_IFIFO);
}

Answer FileCalls::result(const Task& task, const char* operation, const std::string& real,
                         const std::string& meant, int error, const std::string& to) {
  if (error == 0) return Answer::of(0);
  const bool no_right = error == EACCES || error == EPERM;
  const bool ours = error == EROFS ||
                    (no_right && (!rules_.may_write(real) || rules_.is_hidden(real))) ||
                    (error == EBUSY && names_.kind_of(real) != NameKind::kFree);
  if (ours && !is_innocent(meant)) recorder_.add(task, operation, meant, to);
  return Answer::refused(error);
}

// What is not shown: whether that is a refusal depends on what there is outside.
Answer FileCalls::missing(const Task& task, const char* operation, const GivenPath& path, int error,
                          const std::string& target, const std::string& to) {
  if (error == EAGAIN) return Answer::later();
  const bool unseen = error == ENOENT || error == ENOTDIR || error == EACCES;
  if (unseen) {
    const std::string meant = view_.meant(path);
    const bool masked = rules_.is_hidden(meant);
    if (masked || !rules_.is_shown(meant)) {
      recorder_.add(task, operation, target.empty() ? meant : target, to, /*hidden=*/!masked);
    }
  }
  return Answer::refused(error);
}

}  // namespace sharkcage::sandbox
