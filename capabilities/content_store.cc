#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "capabilities/content.h"
#include "capabilities/walk.h"
#include "common/errors.h"
#include "common/hash.h"

namespace sharkcage {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTemporary = ".new-";

bool is_digest(std::string_view name) {
  return name.size() == 64 && std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

void sync_directory(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) throw_errno("open", path);
  if (::fsync(fd.get()) != 0) throw_errno("fsync", path);
}

// Removes a copy; its directories are read-only and have to be opened up for that.
void remove_copy(const std::string& path) {
  std::error_code error;
  fs::permissions(path, fs::perms::owner_all, error);
  for (fs::recursive_directory_iterator at(path, fs::directory_options::none, error), end;
       !error && at != end; at.increment(error)) {
    if (!at->is_symlink() && at->is_directory()) {
      fs::permissions(at->path(), fs::perms::owner_all, error);
    }
  }
  fs::remove_all(path, error);
  if (error && fs::exists(path)) throw std::system_error(error, "remove " + path);
}

// A copy in the making: gone with this object unless it was kept.
class Temporary {
 public:
  explicit Temporary(const std::string& store)
      : path_(store + "/" + std::string(kTemporary) + random_hex(8)) {
    if (::mkdir(path_.c_str(), 0700) != 0) throw_errno("mkdir", path_);
  }
  ~Temporary() {
    if (kept_) return;
    try {
      remove_copy(path_);
    } catch (const std::exception&) {
      // What stays is swept by remove_unreferenced.
    }
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  const std::string& path() const { return path_; }
  void keep() { kept_ = true; }

 private:
  std::string path_;
  bool kept_ = false;
};

void copy_file(int parent, const char* name, const struct stat& status, Entry& entry,
               const std::string& source, const std::string& copy, std::uint64_t& budget) {
  const UniqueFd from = open_same(parent, name, status, source);
  const UniqueFd to(
      ::open(copy.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!to) throw_errno("open", copy);
  entry.digest = hash_stream(from.get(), to.get(), budget, source);
  if (::fchmod(to.get(), entry.executable ? 0555 : 0444) != 0) throw_errno("fchmod", copy);
  if (::fsync(to.get()) != 0) throw_errno("fsync", copy);
}

// Copies the skill and returns its entries, their digests those of the bytes that were written.
std::vector<Entry> copy_skill(const std::string& source, const std::string& copy,
                              const ContentLimits& limits) {
  std::uint64_t budget = limits.bytes;
  return walk(
      source, limits, [&](int parent, const char* name, const struct stat& status, Entry& entry) {
        const std::string target = copy + "/" + entry.path;
        switch (entry.type) {
          case Entry::Type::kDirectory:
            if (::mkdir(target.c_str(), 0700) != 0) throw_errno("mkdir", target);
            break;
          case Entry::Type::kLink:
            if (::symlink(entry.target.c_str(), target.c_str()) != 0) {
              throw_errno("symlink", target);
            }
            break;
          case Entry::Type::kFile:
            copy_file(parent, name, status, entry, source + "/" + entry.path, target, budget);
            break;
        }
      });
}

// Makes the directories of a copy read-only and durable, the deepest first.
void seal(const std::string& copy, const std::vector<Entry>& entries) {
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (entry->type != Entry::Type::kDirectory) continue;
    const std::string path = copy + "/" + entry->path;
    if (::chmod(path.c_str(), 0555) != 0) throw_errno("chmod", path);
    sync_directory(path);
  }
  if (::chmod(copy.c_str(), 0555) != 0) throw_errno("chmod", copy);
  sync_directory(copy);
}

}  // namespace

ContentStore::ContentStore(std::string directory) : directory_(std::move(directory)) {}

std::string ContentStore::add(const std::string& source, const ContentLimits& limits) {
  Temporary temporary(directory_);
  const std::vector<Entry> entries = copy_skill(source, temporary.path(), limits);
  check_links(source, entries);
  const std::string digest = digest_of(entries);
  if (intact(digest)) return digest;

  const std::string final_path = directory_ + "/" + digest;
  if (fs::exists(fs::symlink_status(final_path))) remove_copy(final_path);
  seal(temporary.path(), entries);
  if (::rename(temporary.path().c_str(), final_path.c_str()) != 0)
    throw_errno("rename", final_path);
  temporary.keep();
  sync_directory(directory_);
  return digest;
}

std::string ContentStore::find(const std::string& digest) const {
  if (!is_digest(digest)) return {};
  std::string path = directory_ + "/" + digest;
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return {};
  return path;
}

bool ContentStore::intact(const std::string& digest) const {
  const std::string path = find(digest);
  if (path.empty()) return false;
  try {
    return content_digest(path) == digest;
  } catch (const std::exception&) {
    return false;  // whatever is wrong with it, it is not what was approved
  }
}

void ContentStore::remove(const std::string& digest) {
  if (const std::string path = find(digest); !path.empty()) remove_copy(path);
}

std::size_t ContentStore::remove_unreferenced(const std::set<std::string>& referenced) {
  std::vector<std::string> doomed;
  for (const auto& entry : fs::directory_iterator(directory_)) {
    const std::string name = entry.path().filename().string();
    const bool unused = is_digest(name) && !referenced.contains(name);
    if (unused || name.starts_with(kTemporary)) doomed.push_back(entry.path().string());
  }
  for (const std::string& path : doomed) remove_copy(path);
  return doomed.size();
}

}  // namespace sharkcage
