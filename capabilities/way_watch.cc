#include "capabilities/way_watch.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <strings.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "capabilities/stamps.h"

namespace sharkcage {
namespace {

constexpr std::uint32_t kEntries = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;
// Of what the kernel tells, in blocks of so many bytes: what is heard, which takes about as long as
// a look at everything; and what is read at all, since others may write as fast as this reads.
constexpr std::size_t kBlock = 16384;
constexpr int kHeard = 2;
constexpr int kRead = 64;
constexpr std::uint32_t kItself = IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;

bool is_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// A directory may not tell upper from lower case (casefold, ext4(5)), and some letters of other
// scripts fold to ASCII.
bool may_be_same(const std::string& a, const std::string& b) {
  return !is_ascii(a) || !is_ascii(b) || ::strcasecmp(a.c_str(), b.c_str()) == 0;
}

}  // namespace

bool WayWatch::watch(const Ways& ways) {
  if (!open()) return false;
  nothing_new();  // now: what happens from the first watch on counts
  std::map<int, Watched> kept;
  for (const auto& [path, interest] : ways) {
    if (add(path, interest, kept)) continue;
    watched_.merge(kept);
    stop();
    return false;
  }
  for (const auto& [number, old] : watched_) {
    if (!kept.contains(number)) ::inotify_rm_watch(events_.get(), number);
  }
  watched_ = std::move(kept);
  watching_ = true;
  return true;
}

bool WayWatch::open() {
  if (!events_) events_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!mounts_) mounts_.reset(::open("/proc/thread-self/mountinfo", O_RDONLY | O_CLOEXEC));
  return events_ && mounts_;
}

// By a descriptor: what is watched is what the way without links leads to.
bool WayWatch::add(const std::string& path, const WayInterest& interest,
                   std::map<int, Watched>& kept) {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const UniqueFd held(
      static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
  if (!held || !is_local(held.get()) || is_encrypted(held.get())) return false;
  const std::string name = "/proc/self/fd/" + std::to_string(held.get());
  const int number =
      ::inotify_add_watch(events_.get(), name.c_str(), kEntries | kItself | IN_ONLYDIR);
  if (number < 0) return false;
  // One directory may be there under two names, by bind mounts.
  Watched& entry = kept[number];
  entry.path = path;
  entry.interest.whole |= interest.whole;
  entry.interest.names.insert(interest.names.begin(), interest.names.end());
  return true;
}

bool WayWatch::quiet() {
  return watching_ && nothing_new();
}

bool WayWatch::nothing_new() {
  pollfd files[2] = {{events_.get(), POLLIN, 0}, {mounts_.get(), POLLPRI, 0}};
  const int ready = ::poll(files, 2, 0);
  if (ready == 0) return true;
  const bool mounted = ready < 0 || (files[1].revents & (POLLPRI | POLLERR)) != 0;
  const bool nothing = files[0].revents == 0 || drain();
  return nothing && !mounted;
}

// True when nothing of what there was matters.
bool WayWatch::drain() {
  bool nothing = true;
  alignas(inotify_event) char block[kBlock];
  for (int blocks = 0; blocks < kRead; ++blocks) {
    const ssize_t got = ::read(events_.get(), block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return nothing && got < 0 && errno == EAGAIN;
    nothing = nothing && blocks < kHeard && !any_matters(block, static_cast<std::size_t>(got));
  }
  return false;
}

bool WayWatch::any_matters(const char* block, std::size_t size) const {
  for (std::size_t at = 0; at < size;) {
    const auto* event = reinterpret_cast<const inotify_event*>(block + at);
    const std::string name = event->len == 0 ? std::string() : std::string(event->name);
    if (matters(event->wd, event->mask, name)) return true;
    at += sizeof *event + event->len;
  }
  return false;
}

bool WayWatch::matters(int watch, std::uint32_t mask, const std::string& name) const {
  if ((mask & IN_Q_OVERFLOW) != 0) return true;
  const auto found = watched_.find(watch);
  if (found == watched_.end()) return false;  // no longer watched
  if (name.empty()) return true;
  // That an entry has other rights leads nowhere else; one on the way is watched itself.
  if ((mask & kEntries) == 0) return false;
  const WayInterest& interest = found->second.interest;
  return interest.whole ||
         std::any_of(interest.names.begin(), interest.names.end(),
                     [&](const std::string& known) { return may_be_same(known, name); });
}

// Closing the descriptor instead would wait for the kernel's grace period.
void WayWatch::stop() {
  for (const auto& [number, old] : std::exchange(watched_, {})) {
    ::inotify_rm_watch(events_.get(), number);
  }
  watching_ = false;
}

}  // namespace sharkcage
