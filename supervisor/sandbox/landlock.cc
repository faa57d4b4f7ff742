#include "supervisor/sandbox/landlock.h"

#include <sys/stat.h>

#include <cerrno>

#include "supervisor/sandbox/syscalls.h"
#include "supervisor/sandbox/weakened.h"

namespace sharkcage::sandbox {
namespace {

constexpr std::uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t kWrite = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
                                 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                                 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM;
// Handled and never granted: nobody makes device nodes.
constexpr std::uint64_t kNever = LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK;

// linux/landlock.h, struct landlock_ruleset_attr: it grew with ABI 4 and ABI 6.
std::size_t attr_size(int abi) {
  if (abi >= 6) return sizeof(sys::LandlockRuleset);
  return abi >= 4 ? 2 * sizeof(std::uint64_t) : sizeof(std::uint64_t);
}

}  // namespace

int landlock_abi() {
  const int abi = sys::landlock_create_ruleset(nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return abi < 0 ? 0 : abi;
}

LandlockRights::LandlockRights(int abi)
    : handled(0),
      scoped(abi >= 6 ? sys::kLandlockScopeAbstractUnix | sys::kLandlockScopeSignal : 0),
      attr_size(sandbox::attr_size(abi)),
      read(kRead),
      execute(LANDLOCK_ACCESS_FS_EXECUTE),
      write(kWrite),
      device(LANDLOCK_ACCESS_FS_WRITE_FILE) {
  if (abi >= 2) write |= LANDLOCK_ACCESS_FS_REFER;
  if (abi >= 3) write |= sys::kLandlockTruncate;
  if (abi >= 3) device |= sys::kLandlockTruncate;
  handled = read | execute | write | kNever;
  if (abi >= 5) {
    handled |= sys::kLandlockIoctlDev;
    device |= sys::kLandlockIoctlDev;
  }
}

std::uint64_t landlock_file_rights(std::uint64_t access) {
  return access & (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                   LANDLOCK_ACCESS_FS_READ_FILE | sys::kLandlockTruncate | sys::kLandlockIoctlDev);
}

// Async-signal-safe from here on: runs in PID 1 between clone and execve.

const char* enforce_landlock(const Plan& plan) {
  if (plan.landlock_handled == 0 || weakened::leaves_out(weakened::Layer::kLandlock))
    return nullptr;
  sys::LandlockRuleset attr{};
  attr.handled_access_fs = plan.landlock_handled;
  attr.scoped = plan.landlock_scoped;
  const int ruleset = sys::landlock_create_ruleset(&attr, plan.landlock_attr_size, 0);
  if (ruleset < 0) return "the ruleset";
  const char* failed = nullptr;
  for (const PathRule& rule : plan.landlock_rules) {
    const int fd = ::open(rule.path.c_str(), O_PATH | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) continue;
    struct stat status {};
    if (fd < 0 || ::fstat(fd, &status) != 0) {
      failed = rule.path.c_str();
      break;
    }
    const std::uint64_t access =
        S_ISDIR(status.st_mode) ? rule.access : landlock_file_rights(rule.access);
    const int added = access == 0 ? 0 : sys::landlock_add_path(ruleset, access, fd);
    const int error = errno;
    ::close(fd);
    errno = error;
    if (added != 0) {
      failed = rule.path.c_str();
      break;
    }
  }
  if (failed == nullptr && sys::landlock_restrict_self(ruleset) != 0) failed = "the ruleset";
  const int error = errno;
  ::close(ruleset);
  errno = error;
  return failed;
}

}  // namespace sharkcage::sandbox
