#include "capabilities/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>

#include "common/errors.h"
#include "common/hash.h"
#include "common/text.h"

namespace sharkcage {
namespace {

constexpr std::size_t kMaxTarget = 1024;
constexpr std::size_t kMaxPath = 2048;  // so that the copy's own path fits PATH_MAX
constexpr int kMaxLinks = 40;           // path_resolution(7)

struct CloseDir {
  void operator()(DIR* stream) const { ::closedir(stream); }
};

// The names in an open directory, sorted, without "." and "..".
std::vector<std::string> names_in(int directory, const std::string& path, std::size_t max) {
  const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) throw_errno("openat", path);
  const std::unique_ptr<DIR, CloseDir> stream(::fdopendir(copy));
  if (!stream) {
    const int error = errno;
    ::close(copy);
    throw_errno(error, "fdopendir", path);
  }
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    names.push_back(std::move(name));
    if (names.size() > max) break;  // the walk refuses it
  }
  if (errno != 0) throw_errno("readdir", path);
  std::sort(names.begin(), names.end());
  return names;
}

std::string read_target(int parent, const char* name, const std::string& path) {
  std::string target(kMaxTarget + 1, '\0');
  const ssize_t length = ::readlinkat(parent, name, target.data(), target.size());
  if (length < 0 && (errno == EINVAL || errno == ENOENT)) {  // it was a link a moment ago
    throw UserError(printable(path) + " changed while it was read", "Try again.");
  }
  if (length < 0) throw_errno("readlinkat", path);
  if (static_cast<std::size_t>(length) > kMaxTarget) {
    throw UserError(path + ": the target of the link is longer than 1024 bytes");
  }
  target.resize(static_cast<std::size_t>(length));
  return target;
}

const char* kind_of(mode_t mode) {
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISFIFO(mode)) return "a fifo";
  if (S_ISBLK(mode) || S_ISCHR(mode)) return "a device";
  return "no file, directory or link";
}

class Walker {
 public:
  Walker(std::string directory, const ContentLimits& limits, const Visit& visit)
      : directory_(std::move(directory)), limits_(limits), visit_(visit), bytes_(limits.bytes) {}

  std::vector<Entry> run() {
    const UniqueFd root(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root) throw_errno("open", directory_);
    enter(root.get(), "", 1);
    std::sort(entries_.begin(), entries_.end(),
              [](const Entry& a, const Entry& b) { return a.path < b.path; });
    return std::move(entries_);
  }

 private:
  void enter(int directory, const std::string& prefix, std::size_t depth) {
    if (depth > limits_.depth) {
      throw UserError(directory_ + ": nested deeper than " + std::to_string(limits_.depth) +
                      " directories");
    }
    for (const std::string& name :
         names_in(directory, directory_ + "/" + prefix, limits_.entries)) {
      take(directory, name, prefix, depth);
    }
  }

  void take(int parent, const std::string& name, const std::string& prefix, std::size_t depth) {
    Entry entry;
    entry.path = prefix.empty() ? name : prefix + "/" + name;
    const std::string full = directory_ + "/" + entry.path;
    check(entry.path, name);
    struct stat status {};
    if (::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      throw_errno("fstatat", full);
    }
    if (S_ISDIR(status.st_mode)) {
      entry.type = Entry::Type::kDirectory;
      visit_(parent, name.c_str(), status, entry);
      entries_.push_back(entry);
      enter(open_same(parent, name.c_str(), status, full).get(), entry.path, depth + 1);
      return;
    }
    if (S_ISLNK(status.st_mode)) {
      entry.type = Entry::Type::kLink;
      entry.target = read_target(parent, name.c_str(), full);
    } else if (S_ISREG(status.st_mode)) {
      entry.executable = (status.st_mode & 0111) != 0;
      count_bytes(static_cast<std::uint64_t>(status.st_size), full);
    } else {
      throw UserError(printable(full) + " is " + kind_of(status.st_mode),
                      "A skill holds files, directories and links only; remove it.");
    }
    visit_(parent, name.c_str(), status, entry);
    entries_.push_back(std::move(entry));
  }

  void check(const std::string& path, const std::string& name) const {
    if (printable(name) != name) {
      throw UserError(directory_ + ": the name \"" + printable(path) +
                          "\" holds control or invisible characters or is not UTF-8",
                      "Rename it.");
    }
    if (path.size() > kMaxPath) throw UserError(directory_ + ": the path " + path + " is too long");
    if (entries_.size() >= limits_.entries) {
      throw UserError(directory_ + " holds more than " + std::to_string(limits_.entries) +
                          " files and directories",
                      "Is it the directory of one skill?");
    }
  }

  void count_bytes(std::uint64_t size, const std::string& path) {
    if (size > bytes_) {
      throw UserError(directory_ + " holds more than " + std::to_string(limits_.bytes) +
                          " bytes; the limit was passed at " + path,
                      "Keep data that is not part of the skill elsewhere.");
    }
    bytes_ -= size;
  }

  const std::string directory_;
  const ContentLimits& limits_;
  const Visit& visit_;
  std::uint64_t bytes_;
  std::vector<Entry> entries_;
};

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t slash = std::min(path.find('/', start), path.size());
    if (slash > start) parts.push_back(path.substr(start, slash - start));
    start = slash + 1;
  }
  return parts;
}

std::string join(const std::vector<std::string>& parts) {
  std::string path;
  for (const std::string& part : parts) path.append(path.empty() ? "" : "/").append(part);
  return path;
}

// Follows a link as the kernel would, on the table of entries. False when it leaves the skill.
bool stays_inside(const Entry& link, const std::map<std::string, const Entry*>& entries) {
  std::vector<std::string> here = parts_of(link.path);
  here.pop_back();
  std::vector<std::string> todo = parts_of(link.target);
  std::reverse(todo.begin(), todo.end());
  if (link.target.empty() || link.target.front() == '/') return false;
  int links = 1;
  while (!todo.empty()) {
    const std::string part = todo.back();
    todo.pop_back();
    if (part == ".") continue;
    if (part == "..") {
      if (here.empty()) return false;
      here.pop_back();
      continue;
    }
    here.push_back(part);
    const auto found = entries.find(join(here));
    if (found == entries.end() || found->second->type != Entry::Type::kLink) continue;
    const std::string& target = found->second->target;
    if (target.empty() || target.front() == '/' || ++links > kMaxLinks) return false;
    here.pop_back();
    std::vector<std::string> more = parts_of(target);
    todo.insert(todo.end(), more.rbegin(), more.rend());
  }
  return true;
}

void add_field(Sha256& hash, std::string_view field) {
  hash.update(std::to_string(field.size()));
  hash.update(":");
  hash.update(field);
}

}  // namespace

std::vector<Entry> walk(const std::string& directory, const ContentLimits& limits,
                        const Visit& visit) {
  return Walker(directory, limits, visit).run();
}

UniqueFd open_same(int parent, const char* name, const struct stat& expected,
                   const std::string& path) {
  // O_NONBLOCK: a fifo that took the file's place must not hold us up before it is recognised.
  const int kind = S_ISDIR(expected.st_mode) ? O_DIRECTORY : O_NONBLOCK | O_NOCTTY;
  UniqueFd fd(::openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | kind));
  struct stat status {};
  const bool opened = static_cast<bool>(fd);
  if (!opened && errno != ELOOP && errno != ENOTDIR && errno != ENOENT && errno != ENXIO) {
    throw_errno("openat", path);
  }
  if (opened && ::fstat(fd.get(), &status) != 0) throw_errno("fstat", path);
  if (!opened || status.st_dev != expected.st_dev || status.st_ino != expected.st_ino ||
      (status.st_mode & S_IFMT) != (expected.st_mode & S_IFMT)) {
    throw UserError(printable(path) + " changed while it was read", "Try again.");
  }
  return fd;
}

void check_links(const std::string& directory, const std::vector<Entry>& entries) {
  std::map<std::string, const Entry*> table;
  for (const Entry& entry : entries) table.emplace(entry.path, &entry);
  for (const Entry& entry : entries) {
    if (entry.type != Entry::Type::kLink || stays_inside(entry, table)) continue;
    throw UserError(directory + "/" + entry.path + ": the link to \"" + printable(entry.target) +
                        "\" leads out of the skill",
                    "Copy what it points to into the skill, or remove it.");
  }
}

std::string digest_of(const std::vector<Entry>& entries) {
  Sha256 hash;
  hash.update("sharkcage content 1\n");
  for (const Entry& entry : entries) {
    const char head[3] = {static_cast<char>(entry.type), entry.executable ? 'x' : '-', ' '};
    hash.update({head, sizeof head});
    add_field(hash, entry.path);
    add_field(hash, entry.type == Entry::Type::kLink ? entry.target : entry.digest);
    hash.update("\n");
  }
  return hash.hex();
}

std::string hash_stream(int from, int to, std::uint64_t& budget, const std::string& path) {
  Sha256 hash;
  std::vector<char> block(64 * 1024);
  for (;;) {
    const ssize_t got = ::read(from, block.data(), block.size());
    if (got < 0) {
      if (errno == EINTR) continue;
      throw_errno("read", path);
    }
    if (got == 0) return hash.hex();
    const std::string_view bytes(block.data(), static_cast<std::size_t>(got));
    if (bytes.size() > budget) {
      throw UserError(path + ": the skill grew beyond its limit of bytes while it was read",
                      "Try again.");
    }
    budget -= bytes.size();
    hash.update(bytes);
    if (to >= 0) write_all(to, bytes);
  }
}

}  // namespace sharkcage
