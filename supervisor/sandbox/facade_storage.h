// The content of the files in a sandbox's home: one file each of a tmpfs that nobody else can
// reach, named by the node's number. The tmpfs bounds their size together; its pages count as the
// facade's memory, and so as the sandbox's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <list>
#include <string_view>
#include <unordered_map>

#include "common/fd.h"

namespace sharkcage::sandbox {

class Storage {
 public:
  // `directory` is the root of the tmpfs.
  explicit Storage(UniqueFd directory) : directory_(std::move(directory)) {}

  // All return a size or 0, or a negative errno. A file that was never written reads as nothing.
  ssize_t read(std::uint64_t id, char* buffer, std::size_t size, off_t offset);
  ssize_t write(std::uint64_t id, const char* data, std::size_t size, off_t offset);
  // All of a new file. Throws system_error.
  void put(std::uint64_t id, std::string_view content);
  int truncate(std::uint64_t id, off_t size);
  int allocate(std::uint64_t id, int mode, off_t offset, off_t size);
  // SEEK_DATA, SEEK_HOLE.
  off_t seek(std::uint64_t id, off_t offset, int whence);
  // In units of 512 bytes.
  std::uint64_t blocks(std::uint64_t id);
  void remove(std::uint64_t id);

  struct Room {
    std::uint64_t block_size = 0, blocks = 0, free = 0;
  };
  Room room() const;

 private:
  struct Open {
    UniqueFd fd;
    std::list<std::uint64_t>::iterator place;
  };
  // A descriptor of its content, or a negative errno.
  int open(std::uint64_t id, bool make);

  UniqueFd directory_;
  // The last ones that were used, first the youngest.
  std::unordered_map<std::uint64_t, Open> open_;
  std::list<std::uint64_t> used_;
};

}  // namespace sharkcage::sandbox
