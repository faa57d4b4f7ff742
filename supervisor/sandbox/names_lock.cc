#include "supervisor/sandbox/names_lock.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <limits>

#include "common/errors.h"

namespace sharkcage::sandbox {
namespace {

using Clock = std::chrono::steady_clock;

// A deputy has the lock for some microseconds.
constexpr int kTries = 40;
constexpr timespec kPause{0, 50'000};
constexpr std::chrono::seconds kHangs{10};

// Its subvolumes are one file system with several numbers, between which files can be moved.
constexpr off_t kAnyBtrfs = std::numeric_limits<off_t>::max() - 1;

}  // namespace

UniqueFd make_names_lock() {
  UniqueFd file(::memfd_create("sharkcage-names", MFD_CLOEXEC));
  if (!file) throw_errno("memfd_create");
  return file;
}

NamesLock::Turn& NamesLock::Turn::operator=(Turn&& other) noexcept {
  if (this != &other) {
    end();
    lock_ = std::exchange(other.lock_, nullptr);
    place_ = other.place_;
  }
  return *this;
}

void NamesLock::Turn::end() {
  if (lock_ == nullptr) return;
  if (--place_->turns == 0) lock_->set(*place_, F_UNLCK);
  lock_ = nullptr;
}

int NamesLock::take(int directory, Turn& turn) {
  struct stat status {};
  if (::fstat(directory, &status) != 0) return errno;
  if (own_.contains(status.st_dev)) return 0;
  Place& place = place_of(directory, status.st_dev);
  for (int tries = 0; place.turns == 0 && !set(place, F_WRLCK); ++tries) {
    if (errno != EAGAIN && errno != EACCES) return errno;
    if (tries < kTries) {
      ::nanosleep(&kPause, nullptr);
      continue;
    }
    if (!place.refused_since) place.refused_since = Clock::now();
    return Clock::now() - *place.refused_since > kHangs ? EBUSY : EAGAIN;
  }
  place.refused_since.reset();
  ++place.turns;
  turn = Turn(this, &place);
  return 0;
}

NamesLock::Place& NamesLock::place_of(int directory, dev_t device) {
  const auto [known, unknown] = places_.try_emplace(device);
  if (unknown) {
    struct statfs file_system {};
    const bool btrfs =
        ::fstatfs(directory, &file_system) == 0 && file_system.f_type == BTRFS_SUPER_MAGIC;
    const off_t byte = btrfs ? kAnyBtrfs : static_cast<off_t>(device & (kAnyBtrfs >> 1));
    Place& place = bytes_[byte];
    place.byte = byte;
    known->second = &place;
  }
  return *known->second;
}

bool NamesLock::set(const Place& place, short kind) const {
  struct flock lock {};
  lock.l_type = kind;
  lock.l_whence = SEEK_SET;
  lock.l_start = place.byte;
  lock.l_len = 1;
  return ::fcntl(file_.get(), F_OFD_SETLK, &lock) == 0;
}

}  // namespace sharkcage::sandbox
