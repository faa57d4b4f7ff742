// The seal: the head of the chain, signed, in a file apart from the rows. Internal to `audit`.
//
// Three slots of one block each. At any moment one of them is known to be on the disk, one may be
// on its way there, and the third is the one that is written to, so that no power failure can spoil
// the newest seal that reached the disk. docs/audit.md says why it is done this way.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "audit/keys.h"
#include "audit/record.h"
#include "common/fd.h"

namespace sharkcage::audit {

inline constexpr std::size_t kSealSlots = 3;
inline constexpr std::size_t kSealBlock = 4096;

struct Seal {
  Head head;
  std::string time;  // RFC 3339
};

// What a reader finds in the file.
struct SealState {
  bool present = false;      // there is a file of the right size
  bool forged = false;       // a slot holds something that the key did not sign
  std::optional<Seal> seal;  // the newest one that the key signed
};

// Reads the file at `path`; safe while it is written. Throws system_error unless it just is not
// there.
SealState read_seal(const std::string& path, const Key& key);

// The one writer. `flush` may be called by another thread than the rest.
class SealFile {
 public:
  // Creates the file with a seal of `head`. Throws system_error.
  static void create(const std::string& path, const Key& key, const Head& head);

  SealFile(std::string path, Key key);

  // What `write` takes. Throws LogError.
  std::string sign(const Head& head) const;
  // From then on the seal survives the end of the process, not yet that of the kernel. Throws
  // LogError, system_error; also when somebody replaced the file.
  void write(const std::string& seal);

  // Waits until everything written before the call is on the disk. Throws system_error.
  void flush();

 private:
  std::string path_;
  Key key_;
  UniqueFd fd_;
  std::mutex mutex_;
  std::size_t durable_ = 0;  // flushed, not touched until another one is
  std::size_t current_ = 1;  // the next write goes here
  std::optional<std::size_t> flushing_;
  bool dirty_ = false;  // `current_` holds what no flush has begun on
};

}  // namespace sharkcage::audit
