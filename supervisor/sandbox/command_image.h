// A command as the sandbox executes it: arguments, variables and paths in one piece of memory.
//
// PID 1 of a sandbox cannot allocate, so the supervisor lays the command out ahead, in a memfd: the
// header, lists of slots, strings. A slot is the offset of a string, or 0 at a list's end. Whoever
// executes it maps the file privately and turns the offsets into pointers where they are.
// Async-signal-safe.
#pragma once

#include <cstdint>

namespace sharkcage::sandbox {

struct CommandHeader {
  static constexpr std::uint64_t kMagic = 0x31646d636b726873ull;
  std::uint64_t magic = kMagic;
  std::uint64_t size = 0;    // of the whole image
  std::uint64_t slots = 0;   // number of slots, which follow the header
  std::uint64_t script = 0;  // number of a slot: "/bin/sh", then argv, for a script without "#!"
  std::uint64_t environment = 0;  // number of a slot
  std::uint64_t candidates = 0;   // number of a slot: the paths to execute, in order
  std::uint64_t workdir = 0;      // offset of a string
  std::uint32_t terminal = 0;
  std::uint32_t rows = 0;
  std::uint32_t columns = 0;
  std::uint32_t background = 0;  // starts in the terminal's background
};

class CommandImage {
 public:
  // False with errno when `file` cannot be mapped or holds no command.
  bool map(int file);
  void unmap();

  bool terminal() const { return header_->terminal != 0; }
  unsigned short rows() const { return static_cast<unsigned short>(header_->rows); }
  unsigned short columns() const { return static_cast<unsigned short>(header_->columns); }
  bool background() const { return header_->background != 0; }
  const char* workdir() const { return base_ + header_->workdir; }
  char** argv() const { return list(header_->script + 1); }
  // argv with a shell before it; the second element is to be replaced by the script's path.
  char** script_argv() const { return list(header_->script); }
  char** environment() const { return list(header_->environment); }
  char** candidates() const { return list(header_->candidates); }

 private:
  char** list(std::uint64_t slot) const {
    return reinterpret_cast<char**>(base_ + sizeof(CommandHeader)) + slot;
  }

  char* base_ = nullptr;
  CommandHeader* header_ = nullptr;
};

}  // namespace sharkcage::sandbox
