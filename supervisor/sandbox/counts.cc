// Async-signal-safe: runs in PID 1 between clone and execve.
#include "supervisor/sandbox/counts.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>

#include "supervisor/sandbox/weakened.h"

namespace sharkcage::sandbox {
namespace {

constexpr std::uint64_t kShare = 4;  // a sandbox gets one part in four

// The number that a file of /proc/sys holds, or 0.
std::uint64_t read_number(int proc, const char* path) {
  const int file = ::openat(proc, path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  char text[24];
  const ssize_t size = ::read(file, text, sizeof text);
  ::close(file);
  std::uint64_t number = 0;
  for (ssize_t i = 0; i < size && text[i] >= '0' && text[i] <= '9'; ++i) {
    number = number * 10 + static_cast<std::uint64_t>(text[i] - '0');
  }
  return number;
}

void write_number(int proc, const char* path, std::uint64_t number) {
  char text[24];
  char* out = text + sizeof text;
  do {
    *--out = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  const int file = ::openat(proc, path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  if (::write(file, out, static_cast<std::size_t>(text + sizeof text - out)) < 0) {
    // The host's own limit holds then.
  }
  ::close(file);
}

void bound(int proc, const char* host, const char* own) {
  const std::uint64_t all = read_number(proc, host);
  if (all >= kShare) write_number(proc, own, all / kShare);
}

}  // namespace

void bound_counts(int proc) {
  if (weakened::leaves_out(weakened::Layer::kLimits)) return;
  bound(proc, "sys/fs/inotify/max_user_instances", "sys/user/max_inotify_instances");
  bound(proc, "sys/fs/inotify/max_user_watches", "sys/user/max_inotify_watches");
}

}  // namespace sharkcage::sandbox
