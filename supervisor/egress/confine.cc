#include "supervisor/egress/confine.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/errors.h"
#include "common/fd.h"

namespace sharkcage::egress {
namespace {

constexpr rlim_t kMaxDescriptors = 65536;

// Beyond what distributions and systemd hand out (UIDS-GIDS of systemd ends at 0x7FFFFFFF), below
// the kernel's special values.
constexpr unsigned kPreferredId = 0x80511EED;
constexpr unsigned kNobody = 65534;
constexpr unsigned kIdsToTry = 1000;

// Landlock's newer rights, which the headers of the oldest kernel we serve do not know.
constexpr std::uint64_t kNetworkBind = 1ull << 0;        // ABI 4
constexpr std::uint64_t kScopeAbstractUnix = 1ull << 0;  // ABI 6
constexpr std::uint64_t kScopeSignal = 1ull << 1;        // ABI 6

struct RulesetAttributes {
  std::uint64_t files = 0;
  std::uint64_t network = 0;
  std::uint64_t scoped = 0;
};

// What getaddrinfo(3) reads for "files" and "dns".
constexpr const char* kResolverFiles[] = {"/etc/hosts", "/etc/host.conf", "/etc/gai.conf",
                                          "/etc/nsswitch.conf"};
constexpr const char* kResolvConf = "/etc/resolv.conf";

struct IdRange {
  unsigned long first = 0;
  unsigned long count = 0;
  bool holds(unsigned long id) const { return id >= first && id - first < count; }
};

// The ids that exist in this user namespace (user_namespaces(7)).
std::vector<IdRange> mapped_ids(const char* map) {
  std::ifstream file(map);
  std::vector<IdRange> ranges;
  IdRange range;
  unsigned long outside = 0;
  while (file >> range.first >> outside >> range.count) ranges.push_back(range);
  if (ranges.empty()) throw UserError(std::string("cannot read ") + map);
  return ranges;
}

bool holds(const std::vector<IdRange>& ranges, unsigned long id) {
  return std::any_of(ranges.begin(), ranges.end(), [id](const IdRange& r) { return r.holds(id); });
}

bool is_unallocated(unsigned id) {
  return id != 0 && id != kNobody && id != 0xFFFF && id != 0xFFFFFFFF &&
         ::getpwuid(id) == nullptr && ::getgrgid(id) == nullptr;
}

// A uid and gid of nobody, or 0 in a namespace that has only its own root.
unsigned unallocated_id() {
  const auto uids = mapped_ids("/proc/self/uid_map");
  const auto gids = mapped_ids("/proc/self/gid_map");
  std::vector<unsigned long> starts{kPreferredId};
  for (const IdRange& range : uids) starts.push_back(range.first + range.count - 1);
  bool several = false;
  for (const unsigned long start : starts) {
    for (unsigned long id = start; id > 0 && start - id < kIdsToTry; --id) {
      if (!holds(uids, id) || !holds(gids, id)) continue;
      several = true;
      if (is_unallocated(static_cast<unsigned>(id))) return static_cast<unsigned>(id);
    }
  }
  if (several) throw UserError("every user id that the egress could run as belongs to somebody");
  return 0;
}

// Not for an ordinary user, who has no right to it and, with no_new_privs, no need.
void drop_bounding_set() {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EPERM) {
      throw_errno("prctl PR_CAPBSET_DROP");
    }
  }
}

void drop_capabilities() {
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    throw_errno("prctl PR_CAP_AMBIENT");
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capset, &header, none) != 0) throw_errno("capset");
}

void allow_reading(int ruleset, const std::string& path, std::uint64_t rights) {
  const UniqueFd target(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!target && errno == ENOENT) return;
  if (!target) throw_errno("open", path);
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights;
  rule.parent_fd = target.get();
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
    throw_errno("landlock_add_rule", path);
  }
}

// The directory that holds the file behind /etc/resolv.conf: programs replace that file by
// renaming, and a rule for the file alone would be one for the old file (landlock(7)).
std::string resolv_conf_directory() {
  std::error_code error;
  const auto real = std::filesystem::weakly_canonical(kResolvConf, error);
  return error ? "/etc" : real.parent_path().string();
}

void open_dev_null_as_stdio() {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) throw_errno("open", "/dev/null");
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(null.get(), fd) < 0) throw_errno("dup2");
  }
}

}  // namespace

Ready confine() {
  close_other_descriptors();
  limit_resources();
  drop_identity();
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) throw_errno("prctl PR_SET_DUMPABLE");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) throw_errno("prctl PR_SET_NO_NEW_PRIVS");
  Ready ready;
  ready.uid = ::getuid();
  ready.landlock = restrict_files();
  restrict_system_calls();
  return ready;
}

void close_other_descriptors() {
  open_dev_null_as_stdio();
  if (::syscall(SYS_close_range, kLifelineFd + 1, ~0u, 0) != 0) throw_errno("close_range");
}

void limit_resources() {
  // More than it was given is root's to take.
  rlimit descriptors{kMaxDescriptors, kMaxDescriptors};
  if (::setrlimit(RLIMIT_NOFILE, &descriptors) != 0) {
    if (::getrlimit(RLIMIT_NOFILE, &descriptors) != 0) throw_errno("getrlimit RLIMIT_NOFILE");
    descriptors.rlim_cur = descriptors.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &descriptors) != 0) throw_errno("setrlimit RLIMIT_NOFILE");
  }
  const rlimit none{0, 0};
  for (const auto resource : {RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE}) {
    if (::setrlimit(resource, &none) != 0) throw_errno("setrlimit");
  }
}

void drop_identity() {
  drop_bounding_set();
  const unsigned id = ::geteuid() == 0 ? unallocated_id() : 0;
  if (id != 0) {
    if (::setgroups(0, nullptr) != 0) throw_errno("setgroups");
    if (::setresgid(id, id, id) != 0) throw_errno("setresgid");
    if (::setresuid(id, id, id) != 0) throw_errno("setresuid");
  }
  drop_capabilities();
}

int restrict_files() {
  const long abi =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 0 && (errno == ENOSYS || errno == EOPNOTSUPP)) return 0;
  if (abi < 0) throw_errno("landlock_create_ruleset");

  // Rights that each level of the interface knows: 13, then refer, truncate, ioctl (landlock(7)).
  const unsigned rights = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
  RulesetAttributes attributes;
  attributes.files = (1ull << rights) - 1;
  if (abi >= 4) attributes.network = kNetworkBind;
  if (abi >= 6) attributes.scoped = kScopeAbstractUnix | kScopeSignal;
  const std::size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
  const UniqueFd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size, 0)));
  if (!ruleset) throw_errno("landlock_create_ruleset");

  for (const char* file : kResolverFiles) {
    allow_reading(ruleset.get(), file, LANDLOCK_ACCESS_FS_READ_FILE);
  }
  allow_reading(ruleset.get(), resolv_conf_directory(), LANDLOCK_ACCESS_FS_READ_FILE);
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) {
    throw_errno("landlock_restrict_self");
  }
  return static_cast<int>(abi);
}

}  // namespace sharkcage::egress
