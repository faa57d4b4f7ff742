// A skill's content: its digest, and the store of approved copies.
//
// The digest covers, for every entry below the skill's directory, its relative path, its type, the
// executable bit of files, the target of links and the bytes of files. Other mode bits, owners and
// times are not part of it, and do not survive the copy.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace sharkcage {

struct ContentLimits {
  std::size_t entries = 10'000;
  std::uint64_t bytes = 256ull << 20;
  std::size_t depth = 32;
};

// The digest of the skill in `directory`: 64 hexadecimal digits. No link in it is followed.
// Throws UserError naming the entry: a socket, device or fifo, a link that leaves the skill, a name
// with control characters or that is not UTF-8, more than `limits`, a file that changed meanwhile.
// Throws system_error.
std::string content_digest(const std::string& directory, const ContentLimits& limits = {});

// Copies of skills, each in a folder that its digest names: directories and executable files 0555,
// other files 0444. One thread.
class ContentStore {
 public:
  // `directory` must exist, e.g. `Places::skills_dir()`.
  explicit ContentStore(std::string directory);

  // Copies the skill in `source`, hashing the very bytes that are copied, and makes the copy appear
  // as a whole and durably. What is there already is checked instead, and replaced if it is
  // damaged. Returns the digest. Throws like `content_digest`; then nothing new is in the store.
  std::string add(const std::string& source, const ContentLimits& limits = {});

  // Where the copy is; empty if it is not in the store.
  std::string find(const std::string& digest) const;

  // Whether the copy is there and still has its digest. Reads all of it.
  bool intact(const std::string& digest) const;

  // Removes one copy, if it is there. Throws system_error.
  void remove(const std::string& digest);

  // Removes all copies that `referenced` does not name, and what an interrupted `add` left.
  // Returns how many folders went. Throws system_error.
  std::size_t remove_unreferenced(const std::set<std::string>& referenced);

  const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
};

// Remembers digests of source directories: an unchanged one costs a stat an entry instead of
// reading it. One thread.
//
// An entry is taken as unchanged when device, inode, mode, size, modification and change time are
// the same. This decides only whether a person is asked again: what runs is the stored copy.
class ContentWatch {
 public:
  // As `content_digest`.
  std::string digest(const std::string& directory);
  void forget(const std::string& directory) { known_.erase(directory); }

 private:
  struct Known {
    std::string signature;
    std::string digest;
  };
  std::map<std::string, Known> known_;
};

}  // namespace sharkcage
