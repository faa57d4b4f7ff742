#include "supervisor/sandbox/facade_storage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

namespace sharkcage::sandbox {
namespace {

constexpr std::size_t kMaxOpen = 64;

struct Name {
  explicit Name(std::uint64_t id) {
    std::snprintf(text, sizeof text, "%llu", static_cast<unsigned long long>(id));
  }
  char text[24];
};

}  // namespace

int Storage::open(std::uint64_t id, bool make) {
  if (const auto known = open_.find(id); known != open_.end()) {
    used_.splice(used_.begin(), used_, known->second.place);
    return known->second.fd.get();
  }
  const int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | (make ? O_CREAT : 0);
  UniqueFd fd(::openat(directory_.get(), Name(id).text, flags, 0600));
  if (!fd) return -errno;
  if (open_.size() >= kMaxOpen) {
    open_.erase(used_.back());
    used_.pop_back();
  }
  used_.push_front(id);
  const int number = fd.get();
  open_.emplace(id, Open{std::move(fd), used_.begin()});
  return number;
}

ssize_t Storage::read(std::uint64_t id, char* buffer, std::size_t size, off_t offset) {
  const int fd = open(id, false);
  if (fd < 0) return fd == -ENOENT ? 0 : fd;
  const ssize_t got = ::pread(fd, buffer, size, offset);
  return got < 0 ? -errno : got;
}

ssize_t Storage::write(std::uint64_t id, const char* data, std::size_t size, off_t offset) {
  const int fd = open(id, true);
  if (fd < 0) return fd;
  const ssize_t written = ::pwrite(fd, data, size, offset);
  return written < 0 ? -errno : written;
}

void Storage::put(std::uint64_t id, std::string_view content) {
  const ssize_t written = write(id, content.data(), content.size(), 0);
  if (written == static_cast<ssize_t>(content.size())) return;
  throw std::system_error(written < 0 ? static_cast<int>(-written) : ENOSPC,
                          std::generic_category(), "a file of the home");
}

int Storage::truncate(std::uint64_t id, off_t size) {
  const int fd = open(id, size > 0);
  if (fd < 0) return fd == -ENOENT ? 0 : fd;
  return ::ftruncate(fd, size) != 0 ? -errno : 0;
}

int Storage::allocate(std::uint64_t id, int mode, off_t offset, off_t size) {
  const int fd = open(id, true);
  if (fd < 0) return fd;
  return ::fallocate(fd, mode, offset, size) != 0 ? -errno : 0;
}

off_t Storage::seek(std::uint64_t id, off_t offset, int whence) {
  const int fd = open(id, false);
  if (fd < 0) return fd == -ENOENT ? -ENXIO : fd;
  const off_t found = ::lseek(fd, offset, whence);
  return found < 0 ? -errno : found;
}

std::uint64_t Storage::blocks(std::uint64_t id) {
  struct stat status {};
  const int fd = open(id, false);
  return fd >= 0 && ::fstat(fd, &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) : 0;
}

void Storage::remove(std::uint64_t id) {
  if (const auto known = open_.find(id); known != open_.end()) {
    used_.erase(known->second.place);
    open_.erase(known);
  }
  ::unlinkat(directory_.get(), Name(id).text, 0);
}

Storage::Room Storage::room() const {
  struct statfs status {};
  if (::fstatfs(directory_.get(), &status) != 0) return {};
  return {static_cast<std::uint64_t>(status.f_bsize), status.f_blocks, status.f_bavail};
}

}  // namespace sharkcage::sandbox
