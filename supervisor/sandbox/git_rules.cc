#include "supervisor/sandbox/git_rules.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "common/bytes.h"
#include "common/errors.h"
#include "supervisor/sandbox/git_config.h"

namespace sharkcage::sandbox {
namespace {

constexpr std::size_t kMaxConfig = 1u << 20;
constexpr std::size_t kMaxPointer = 8192;
constexpr std::size_t kMaxPointers = 256;
constexpr std::size_t kMaxMade = 256;
constexpr std::size_t kMaxLocks = 16;
constexpr const char* kLock = "config.lock";

std::string directory_of(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

std::string name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

// …/.git/worktrees/ID
bool is_worktree(const std::string& path) {
  const std::string worktrees = directory_of(path);
  return worktrees.ends_with("/.git/worktrees");
}

// A regular file of bounded size, or an errno.
int read_regular(int at, const std::string& name, std::size_t max, std::string& content) {
  const UniqueFd file(
      ::openat(at, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) return errno;
  if (!S_ISREG(status.st_mode)) return EACCES;
  try {
    content = read_fd(file.get(), max, name);
  } catch (const UserError&) {
    return EFBIG;
  } catch (const std::system_error& error) {
    return error.code().value();
  }
  return 0;
}

int write_new(int at, const std::string& name, const std::string& content, mode_t mode) {
  const UniqueFd file(
      ::openat(at, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!file) return errno;
  try {
    write_all(file.get(), content);
  } catch (const std::system_error& error) {
    ::unlinkat(at, name.c_str(), 0);
    return error.code().value();
  }
  return 0;
}

std::string unused_name() {
  unsigned char bytes[8];
  if (::getrandom(bytes, sizeof bytes, 0) != sizeof bytes) throw_errno("getrandom");
  std::string name = "config.new-";
  for (const unsigned char byte : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    name += kDigits[byte >> 4];
    name += kDigits[byte & 15];
  }
  return name;
}

}  // namespace

void GitRules::hold(std::deque<Made>& all, int directory, const std::string& name,
                    std::size_t max) {
  UniqueFd held(::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!held || ::fstat(held.get(), &status) != 0) return;
  all.push_back({status.st_dev, status.st_ino, std::move(held)});
  if (all.size() > max) all.pop_front();
}

bool GitRules::holds(const std::deque<Made>& all, int file) {
  struct stat status {};
  return ::fstat(file, &status) == 0 && std::any_of(all.begin(), all.end(), [&](const Made& made) {
           return made.device == status.st_dev && made.inode == status.st_ino;
         });
}

void GitRules::repository_made(int directory, const std::string& name) {
  hold(made_, directory, name, kMaxMade);
}

void GitRules::file_made(const Spot& spot) {
  if (spot.last == kLock) hold(locks_, spot.directory.get(), spot.last, kMaxLocks);
  if (spot.last != "gitdir" || !is_worktree(directory_of(spot.real))) return;
  pointers_.push_back(spot.real);
  if (pointers_.size() > kMaxPointers) pointers_.pop_front();
}

bool GitRules::may_lock(const Spot& lock) const {
  return lock.last == kLock && holds(made_, lock.directory.get());
}

bool GitRules::is_own_lock(int file) const {
  return holds(locks_, file);
}

bool GitRules::is_own_lock(const Spot& lock) const {
  const UniqueFd file(
      ::openat(lock.directory.get(), lock.last.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  return file && is_own_lock(file.get());
}

void GitRules::lock_deleted() {
  std::erase_if(locks_, [](const Made& lock) {
    struct stat status {};
    return ::fstat(lock.held.get(), &status) != 0 || status.st_nlink == 0;
  });
}

std::string GitRules::replace_config(const Spot& lock, const Spot& config, int& error) {
  struct stat file {};
  error = EACCES;
  if (lock.last != kLock || directory_of(lock.real) != directory_of(config.real)) {
    return "not by git";
  }
  const int at = config.directory.get();
  if (!holds(made_, at)) {
    return "the repository was there before this sandbox, so its settings stay as they are";
  }
  if (::fstatat(at, kLock, &file, AT_SYMLINK_NOFOLLOW) != 0) {
    error = errno;
    return "no lock file";
  }
  if (!is_own_lock(lock)) return "not by git";
  std::string content;
  if (const int problem = read_regular(at, kLock, kMaxConfig, content)) {
    error = problem;
    return "not readable";
  }
  if (std::string refused = refused_git_setting(content); !refused.empty()) return refused;
  const std::string name = unused_name();
  ::umask(0);
  error = write_new(at, name, content, file.st_mode & 0666);
  if (error != 0) return "not written";
  if (::renameat(at, name.c_str(), at, "config") != 0) {
    error = errno;
    ::unlinkat(at, name.c_str(), 0);
    return "not replaced";
  }
  ::unlinkat(at, kLock, 0);
  lock_deleted();
  error = 0;
  return {};
}

UniqueFd GitRules::make_worktree_file(const Spot& spot, mode_t mode, int& error) {
  error = EACCES;
  const std::string content = content_for(spot.real);
  if (content.empty()) return UniqueFd();
  error = write_new(spot.directory.get(), spot.last, content, mode & 0666);
  if (error != 0) return UniqueFd();
  UniqueFd ignored(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!ignored) error = errno;
  return ignored;
}

// As git writes it (builtin/worktree.c, add_worktree), or empty.
std::string GitRules::content_for(const std::string& real) const {
  for (const std::string& pointer : pointers_) {
    const std::string worktree = directory_of(pointer);
    if (real == worktree + "/commondir") return "../..\n";
    if (name_of(real) != ".git") continue;
    std::string target;
    if (read_regular(AT_FDCWD, pointer, kMaxPointer, target) != 0) continue;
    while (!target.empty() && target.back() == '\n') target.pop_back();
    if (target == real) return "gitdir: " + worktree + "\n";
  }
  return {};
}

}  // namespace sharkcage::sandbox
