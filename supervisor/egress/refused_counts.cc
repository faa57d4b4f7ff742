#include "supervisor/egress/refused_counts.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>

#include "common/errors.h"

namespace sharkcage::egress {
namespace {

constexpr std::size_t kSize = RefusedCounts::kPlaces * sizeof(std::uint64_t);

std::uint64_t* map(int memory) {
  void* mapped = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (mapped == MAP_FAILED) throw_errno("mmap", "the counts of refused attempts");
  return static_cast<std::uint64_t*>(mapped);
}

}  // namespace

RefusedCounts::RefusedCounts()
    : memory_(::memfd_create("refused", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
  if (!memory_) throw_errno("memfd_create", "the counts of refused attempts");
  if (::ftruncate(memory_.get(), kSize) != 0) throw_errno("ftruncate", "a memfd");
  if (::fcntl(memory_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    throw_errno("fcntl F_ADD_SEALS");
  }
  places_ = map(memory_.get());
}

RefusedCounts::RefusedCounts(int memory) {
  struct stat status {};
  if (::fstat(memory, &status) != 0) throw_errno("fstat", "the counts of refused attempts");
  if (status.st_size != static_cast<off_t>(kSize)) {
    throw UserError("egress protocol: the counts have another size");
  }
  places_ = map(memory);
}

RefusedCounts::~RefusedCounts() {
  ::munmap(places_, kSize);
}

void RefusedCounts::add(std::uint64_t listener, std::uint64_t count) {
  std::atomic_ref(places_[listener % kPlaces]).fetch_add(count, std::memory_order_relaxed);
}

std::uint64_t RefusedCounts::at(std::size_t place) const {
  return std::atomic_ref(places_[place]).load(std::memory_order_relaxed);
}

}  // namespace sharkcage::egress
