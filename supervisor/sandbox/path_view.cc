#include "supervisor/sandbox/path_view.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <vector>

namespace sharkcage::sandbox {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel (path_resolution(7))

std::string rest_after(const std::string& path, std::string_view prefix) {
  return path.substr(prefix.size());
}

bool is_below(const std::string& path, std::string_view directory) {
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

struct Split {
  std::string directory;  // "." if there is none
  std::string last;       // without slashes
  std::string slashes;
};

Split split(const std::string& path) {
  const std::size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return {"/", ".", ""};
  const std::size_t slash = path.rfind('/', end);
  Split out;
  out.slashes = path.substr(end + 1);
  out.last = path.substr(slash == std::string::npos ? 0 : slash + 1, std::string::npos);
  out.last.resize(out.last.size() - out.slashes.size());
  out.directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  return out;
}

std::string joined(const std::string& directory, const std::string& name) {
  return directory == "/" ? "/" + name : directory + "/" + name;
}

// A symbolic link's text, or empty.
std::string link_text(int directory, const std::string& name) {
  std::string text(PATH_MAX, '\0');
  const ssize_t size = ::readlinkat(directory, name.c_str(), text.data(), text.size());
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

// "." and ".." are never made or moved.
bool has_name(std::string_view last) {
  last = last.substr(0, last.find('/'));
  return last != "." && last != "..";
}

int open_path(int at, const std::string& path, int flags) {
  return ::openat(at, path.c_str(), O_PATH | O_CLOEXEC | flags);
}

}  // namespace

int GivenPath::at() const {
  return base ? base.get() : AT_FDCWD;
}

// What is the caller's own in /proc, and in /dev by links to it.
std::string PathView::without_self(const Task& task, const std::string& path) const {
  if (!path.starts_with("/dev/") && !path.starts_with("/proc/")) return path;
  const auto own = [&] { return "/proc/" + std::to_string(task.status().pid); };
  if (path == "/dev/stdin") return own() + "/fd/0";
  if (path == "/dev/stdout") return own() + "/fd/1";
  if (path == "/dev/stderr") return own() + "/fd/2";
  if (is_below(path, "/dev/fd")) return own() + "/fd" + rest_after(path, "/dev/fd");
  if (is_below(path, "/proc/self")) return own() + rest_after(path, "/proc/self");
  if (is_below(path, "/proc/thread-self")) return own() + rest_after(path, "/proc/thread-self");
  return path;
}

GivenPath PathView::given(const Task& task, int dirfd, std::uint64_t address) const {
  GivenPath path;
  path.error = task.read_path(address, path.text);
  if (path.error != 0) return path;
  if (path.text.front() == '/') {
    path.text = without_self(task, path.text);
    return path;
  }
  path.base = task.directory(dirfd);
  if (!path.base) path.error = errno;
  return path;
}

Found PathView::find(const Task& task, const GivenPath& path, bool follow) const {
  Found found;
  UniqueFd base;
  int at = path.at();
  std::string text = path.text;
  for (int links = 0; links < kMaxLinks; ++links) {
    found.file.reset(open_path(at, text, follow ? 0 : O_NOFOLLOW));
    if (found.file) return found;
    found.error = errno;
    if (found.error != ENOENT) return found;
    // Missing, or a link that leads to what is missing or the deputy's own.
    const Split parts = split(text);
    found.directory.reset(open_path(at, parts.directory, O_DIRECTORY));
    if (!found.directory) {
      found.error = errno;
      return found;
    }
    found.last = parts.last + parts.slashes;
    const std::string link = follow ? link_text(found.directory.get(), parts.last) : "";
    if (link.empty()) return found;
    text = without_self(task, link) + parts.slashes;
    base = std::move(found.directory);
    at = base.get();
  }
  found.directory.reset();
  found.error = ELOOP;
  return found;
}

Spot PathView::look(const GivenPath& path) const {
  Spot spot = open(path);
  name(spot);
  return spot;
}

Spot PathView::spot(const GivenPath& path) const {
  Spot spot = open(path);
  enter(spot);
  return spot;
}

Spot PathView::spot(UniqueFd directory, std::string last) const {
  Spot spot;
  spot.directory = std::move(directory);
  spot.last = std::move(last);
  enter(spot);
  return spot;
}

Spot PathView::open(const GivenPath& path) const {
  const Split parts = split(path.text);
  Spot spot;
  spot.last = parts.last + parts.slashes;
  spot.directory.reset(open_path(path.at(), parts.directory, O_DIRECTORY));
  if (!spot.directory) spot.error = errno;
  return spot;
}

// What the directory is called is asked in the turn, before which it may have been called
// otherwise.
void PathView::enter(Spot& spot) const {
  if (spot.error != 0 || !has_name(spot.last)) return;
  spot.error = lock_.take(spot.directory.get(), spot.turn);
  name(spot);
}

void PathView::name(Spot& spot) const {
  if (spot.error != 0 || !has_name(spot.last)) return;
  const std::string last = spot.last.substr(0, spot.last.find('/'));
  const std::string directory = real_path(spot.directory.get());
  // A path that cannot be told cannot be judged.
  if (directory.empty()) spot.error = ENAMETOOLONG;
  if (spot.error == 0) spot.real = joined(directory, last);
}

std::string PathView::real_path(int fd) const {
  std::string text(PATH_MAX, '\0');
  const ssize_t size = ::readlinkat(self_, std::to_string(fd).c_str(), text.data(), text.size());
  if (size <= 0 || size == PATH_MAX) return {};
  text.resize(static_cast<std::size_t>(size));
  return text;
}

UniqueFd PathView::reopen(int fd, int flags, mode_t mode) const {
  return UniqueFd(::openat(self_, std::to_string(fd).c_str(), flags | O_CLOEXEC, mode));
}

std::string PathView::meant(const GivenPath& path) const {
  std::string all = path.text;
  if (path.base) all = joined(real_path(path.base.get()), path.text);
  std::vector<std::string_view> kept;
  for (std::size_t start = 0; start < all.size();) {
    const std::size_t end = std::min(all.find('/', start), all.size());
    const std::string_view part = std::string_view(all).substr(start, end - start);
    if (part == ".." && !kept.empty()) kept.pop_back();
    if (!part.empty() && part != "." && part != "..") kept.push_back(part);
    start = end + 1;
  }
  std::string out;
  for (const std::string_view part : kept) out.append("/").append(part);
  return out.empty() ? "/" : out;
}

}  // namespace sharkcage::sandbox
