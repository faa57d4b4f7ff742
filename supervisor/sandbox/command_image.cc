// Async-signal-safe: runs in PID 1 and in keepers.
#include "supervisor/sandbox/command_image.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>

namespace sharkcage::sandbox {

bool CommandImage::map(int file) {
  struct stat status {};
  if (::fstat(file, &status) != 0) return false;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  errno = EINVAL;
  if (size < sizeof(CommandHeader)) return false;
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  if (memory == MAP_FAILED) return false;
  base_ = static_cast<char*>(memory);
  header_ = static_cast<CommandHeader*>(memory);
  const CommandHeader& header = *header_;
  errno = EINVAL;
  if (header.magic != CommandHeader::kMagic || header.size != size ||
      header.slots > (size - sizeof(CommandHeader)) / sizeof(char*) ||
      header.script >= header.slots || header.environment >= header.slots ||
      header.candidates >= header.slots || header.workdir >= size || base_[size - 1] != '\0') {
    return false;
  }
  char** const slots = list(0);
  for (std::uint64_t i = 0; i < header.slots; ++i) {
    const auto offset = reinterpret_cast<std::uint64_t>(slots[i]);
    if (offset >= size) return false;
    if (offset != 0) slots[i] = base_ + offset;
  }
  return slots[header.slots - 1] == nullptr;
}

void CommandImage::unmap() {
  if (base_ != nullptr) ::munmap(base_, header_->size);
  base_ = nullptr;
  header_ = nullptr;
}

}  // namespace sharkcage::sandbox
