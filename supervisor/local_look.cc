#include "supervisor/local_look.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <sstream>
#include <string_view>

#include "common/errors.h"

namespace sharkcage {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel (path_resolution(7))
constexpr std::size_t kMaxMounts = 16u << 20;
constexpr int kMaxComponentsOfOne = 256;

// What answers from this machine's memory and disks alone.
constexpr std::array<std::string_view, 41> kLocal = {
    "bcachefs", "binfmt_misc", "bpf",      "btrfs",    "cgroup",     "cgroup2",   "configfs",
    "debugfs",  "devpts",      "devtmpfs", "efivarfs", "erofs",      "exfat",     "ext2",
    "ext3",     "ext4",        "f2fs",     "fusectl",  "hfsplus",    "hugetlbfs", "iso9660",
    "jfs",      "mqueue",      "msdos",    "nilfs2",   "ntfs3",      "overlay",   "proc",
    "pstore",   "ramfs",       "reiserfs", "rootfs",   "securityfs", "squashfs",  "sysfs",
    "tmpfs",    "tracefs",     "udf",      "vfat",     "xfs",        "zfs"};

bool is_local(std::string_view type) {
  return std::find(kLocal.begin(), kLocal.end(), type) != kLocal.end();
}

bool lies_in(std::string_view path, std::string_view directory) {
  if (directory == "/") return true;
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

struct Mount {
  std::uint64_t id = 0;
  std::string type;
};

// proc(5): "\040" for a space, and three others.
std::string unescaped(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out +=
          static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// The topmost mount at each place. Read again when the kernel says that it has changed.
class MountTable {
 public:
  std::optional<Mount> at(const std::string& place) {
    refresh();
    const auto found = mounts_.find(place);
    return found == mounts_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  void refresh() {
    if (file_) {
      pollfd changed{file_.get(), POLLPRI, 0};
      if (::poll(&changed, 1, 0) == 0) return;
    } else {
      file_.reset(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
      if (!file_) throw_errno("open", "/proc/self/mountinfo");
    }
    if (::lseek(file_.get(), 0, SEEK_SET) != 0) throw_errno("lseek", "/proc/self/mountinfo");
    mounts_.clear();
    std::istringstream lines(read_fd(file_.get(), kMaxMounts, "/proc/self/mountinfo"));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream fields(line);
      Mount mount;
      std::string skip, place;
      fields >> mount.id >> skip >> skip >> skip >> place;
      const std::size_t dash = line.find(" - ");
      if (dash == std::string::npos) continue;
      std::istringstream(line.substr(dash + 3)) >> mount.type;
      mounts_[unescaped(place)] = std::move(mount);
    }
  }

  UniqueFd file_;
  std::map<std::string, Mount> mounts_;
};

MountTable& mount_table() {
  static MountTable table;
  return table;
}

// The last component alone: an automounter is not asked for it (fs/namei.c, follow_automount), a
// mount there is EXDEV.
UniqueFd open_beside(int directory, const std::string& name) {
  open_how how{};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_NO_XDEV;
  return UniqueFd(
      static_cast<int>(::syscall(SYS_openat2, directory, name.c_str(), &how, sizeof how)));
}

bool is_on(int file, std::uint64_t mount) {
  struct statx status {};
  return ::statx(file, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_MNT_ID,
                 &status) == 0 &&
         (status.stx_mask & STATX_MNT_ID) != 0 && status.stx_mnt_id == mount;
}

std::optional<std::string> link_text(int file) {
  std::string text(PATH_MAX, '\0');
  const ssize_t size = ::readlinkat(file, "", text.data(), text.size());
  if (size < 0) return std::nullopt;
  text.resize(static_cast<std::size_t>(size));
  return text;
}

void put_first(std::deque<std::string>& names, std::string_view path) {
  std::deque<std::string> parts;
  for (std::size_t start = 0; start < path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    if (end > start) parts.emplace_back(path.substr(start, end - start));
    start = end + 1;
  }
  names.insert(names.begin(), parts.begin(), parts.end());
}

// A directory on the way, by its real path.
struct Step {
  std::string real;  // "" is the root
  UniqueFd file;
};

LocalPlace place(Presence presence) {
  return {presence, UniqueFd()};
}

}  // namespace

bool LocalLook::is_asked(const std::string& mount_point, const std::string& type) const {
  if (is_local(type)) return true;
  if (type == "autofs") return false;
  return std::any_of(trusted_.begin(), trusted_.end(), [&](const std::string& trusted) {
    return !trusted.empty() && lies_in(trusted, mount_point);
  });
}

// What is mounted at `name` in `directory`, whose real path is `real`.
LocalPlace LocalLook::enter_mount(int directory, const std::string& name, const std::string& real,
                                  bool last) const {
  const auto mount = mount_table().at(real);
  if (!mount) return place(Presence::kUnknown);
  // A mount that is not asked is itself there.
  if (!is_asked(real, mount->type)) return place(last ? Presence::kThere : Presence::kUnknown);
  UniqueFd file(::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return place(Presence::kMissing);
  if (!is_on(file.get(), mount->id)) return place(Presence::kUnknown);
  return {Presence::kThere, std::move(file)};
}

LocalPlace LocalLook::find(const std::string& path, bool follow) const {
  const auto root = mount_table().at("/");
  if (!root || !is_asked("/", root->type)) return place(Presence::kUnknown);
  std::vector<Step> way;
  way.push_back({"", UniqueFd(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC))});
  std::deque<std::string> names;
  put_first(names, path);
  int components = 0;
  for (int links = 0; !names.empty();) {
    if (++components > kMaxComponentsOfOne || left_ == 0) return place(Presence::kUnknown);
    --left_;
    const std::string name = std::move(names.front());
    names.pop_front();
    if (name == ".") continue;
    if (name == "..") {
      if (way.size() > 1) way.pop_back();
      continue;
    }
    const int directory = way.back().file.get();
    Step next{way.back().real + "/" + name, open_beside(directory, name)};
    if (!next.file && errno != EXDEV) return place(Presence::kMissing);
    if (!next.file) {
      LocalPlace mounted = enter_mount(directory, name, next.real, names.empty());
      if (!mounted.file) return mounted;
      next.file = std::move(mounted.file);
    }
    const auto link = names.empty() && !follow ? std::nullopt : link_text(next.file.get());
    if (!link) {
      way.push_back(std::move(next));
      continue;
    }
    if (++links > kMaxLinks) return place(Presence::kMissing);
    if (link->starts_with('/')) way.erase(way.begin() + 1, way.end());
    put_first(names, *link);
  }
  return {Presence::kThere, std::move(way.back().file)};
}

}  // namespace sharkcage
