#include "capabilities/content.h"

#include <fcntl.h>

#include <ctime>

#include "capabilities/stamps.h"
#include "capabilities/walk.h"
#include "common/errors.h"
#include "common/hash.h"

namespace sharkcage {
namespace {

struct Signature {
  std::string text;
  std::int64_t newest = 0;  // change time
};

Signature signature_of(const std::string& directory) {
  Signature signature;
  Sha256 hash;
  walk(directory, {}, [&](int, const char*, const struct stat& status, Entry& entry) {
    const std::int64_t changed = nanoseconds(status.st_ctim);
    signature.newest = std::max(signature.newest, changed);
    std::string line = entry.path + '\n' + entry.target;
    for (const std::int64_t number :
         {static_cast<std::int64_t>(status.st_dev), static_cast<std::int64_t>(status.st_ino),
          static_cast<std::int64_t>(status.st_mode), static_cast<std::int64_t>(status.st_size),
          nanoseconds(status.st_mtim), changed}) {
      line.append("\n").append(std::to_string(number));
    }
    hash.update(line);
    hash.update({"\0", 1});
  });
  signature.text = hash.hex();
  return signature;
}

}  // namespace

std::string content_digest(const std::string& directory, const ContentLimits& limits) {
  std::uint64_t budget = limits.bytes;
  const std::vector<Entry> entries =
      walk(directory, limits,
           [&](int parent, const char* name, const struct stat& status, Entry& entry) {
             if (entry.type != Entry::Type::kFile) return;
             const std::string path = directory + "/" + entry.path;
             const UniqueFd file = open_same(parent, name, status, path);
             entry.digest = hash_stream(file.get(), -1, budget, path);
           });
  check_links(directory, entries);
  return digest_of(entries);
}

std::string ContentWatch::digest(const std::string& directory) {
  const std::int64_t started = stamp_now();
  const Signature signature = signature_of(directory);
  const auto known = known_.find(directory);
  if (known != known_.end() && known->second.signature == signature.text) {
    return known->second.digest;
  }
  const std::string digest = content_digest(directory);
  // Kept only if nothing was in motion: a change during the reading has a newer stamp than
  // `started`.
  if (signature.newest + kSettled < started) {
    known_[directory] = {signature.text, digest};
  } else {
    known_.erase(directory);
  }
  return digest;
}

}  // namespace sharkcage
