#include "supervisor/sandbox/kept.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "common/fd.h"
#include "supervisor/sandbox/names.h"

namespace sharkcage::sandbox {
namespace {

// Reading so much of a directory costs less than asking for each name; a larger one is asked.
constexpr std::size_t kRead = 32768;

// The names in a directory, or nothing when they are too many.
std::optional<std::vector<std::string>> names_in(int directory) {
  alignas(dirent64) std::array<char, kRead> buffer;
  std::vector<std::string> names;
  for (bool again = false;; again = true) {
    const ssize_t size = ::getdents64(directory, buffer.data(), buffer.size());
    if (size == 0) return names;
    if (size < 0 || again) return std::nullopt;
    for (ssize_t at = 0; at < size;) {
      const char* entry = buffer.data() + at;
      unsigned short length = 0;
      std::memcpy(&length, entry + offsetof(dirent64, d_reclen), sizeof length);
      names.emplace_back(entry + offsetof(dirent64, d_name));
      at += length;
    }
  }
}

bool exists(int directory, const std::string& name) {
  struct stat status {};
  return ::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
}

// What a link leads to is not mounted on, and could be anywhere.
bool is_directory(int directory, const std::string& name) {
  struct stat status {};
  return ::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISDIR(status.st_mode);
}

// The ".git" of a worktree names the repository: without it, another one could be made there.
bool is_file(int directory, const std::string& name) {
  struct stat status {};
  return ::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG(status.st_mode);
}

}  // namespace

std::vector<std::string> kept_at_top(const std::string& top) {
  std::vector<std::string> kept;
  const UniqueFd directory(::open(top.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto names = directory ? names_in(directory.get()) : std::nullopt;
  if (!names) {
    const UniqueFd way(::open(top.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    for (const std::string& name : protected_at_top()) {
      if (exists(way.get(), name)) kept.push_back(name);
    }
    if (is_file(way.get(), ".git")) kept.push_back(".git");
  } else {
    for (const std::string& name : *names) {
      if (is_protected_name(name)) kept.push_back(name);
      if (name == ".git" && is_file(directory.get(), name)) kept.push_back(name);
      const std::span<const std::string_view> entries = protected_entries_of(name);
      if (entries.empty() || !is_directory(directory.get(), name)) continue;
      for (const std::string_view entry : entries) {
        std::string path = name + "/" + std::string(entry);
        if (exists(directory.get(), path)) kept.push_back(std::move(path));
      }
    }
  }
  std::sort(kept.begin(), kept.end());
  return kept;
}

}  // namespace sharkcage::sandbox
