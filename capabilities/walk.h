// Walking a skill's directory without ever following a link in it (openat(2), O_NOFOLLOW).
#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>
#include <vector>

#include "capabilities/content.h"
#include "common/fd.h"

namespace sharkcage {

struct Entry {
  enum class Type : char { kDirectory = 'd', kFile = 'f', kLink = 'l' };

  std::string path;  // relative to the skill
  Type type = Type::kFile;
  bool executable = false;
  std::string target;  // of a link
  std::string digest;  // of a file's bytes
};

// What a walk does at each entry, a directory before what is in it. `parent` is open, `name` is the
// entry's name in it, `status` what lstat says of it. It fills in what the walk leaves empty.
using Visit = std::function<void(int parent, const char* name, const struct stat& status, Entry&)>;

// All entries below `directory`, sorted by path. `read_links`: fill in `Entry::target`.
// Throws UserError naming the entry for anything that is not a file, a directory or a link, for
// names that are not plain text, and beyond `limits` (bytes as lstat says them).
std::vector<Entry> walk(const std::string& directory, const ContentLimits& limits,
                        const Visit& visit);

// Opens a file that a walk found and checks that it is still that file. Throws UserError.
UniqueFd open_same(int parent, const char* name, const struct stat& expected,
                   const std::string& path);

// Throws UserError for the first link whose target is absolute or climbs out of the skill, on
// whatever way through other links of it.
void check_links(const std::string& directory, const std::vector<Entry>& entries);

// The digest over sorted entries.
std::string digest_of(const std::vector<Entry>& entries);

// Copies `from` to its end into `to` (or nowhere, -1) and returns the digest of the bytes. `budget`
// counts down; beyond it UserError naming `path`.
std::string hash_stream(int from, int to, std::uint64_t& budget, const std::string& path);

}  // namespace sharkcage
