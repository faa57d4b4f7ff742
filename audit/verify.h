// Is the log what was written? Recomputes the chain and holds it against the seal.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/record.h"
#include "common/places.h"

namespace sharkcage::audit {

enum class Fault {
  kEdited,        // the fields of a record do not give its hash
  kDeleted,       // sequence numbers are missing between two records
  kInserted,      // a record that the chain does not lead through
  kReordered,     // records stand in each other's places
  kTruncated,     // the seal knows records that are gone from the end
  kRewritten,     // a whole chain, but not the one that was sealed (or whose head was kept)
  kUnsealedTail,  // records beyond the seal: an unclean stop, or forged
  kBadSignature,  // the seal is not signed by this instance's key
  kNoSeal,        // the seal or the public key is missing or cannot be read
  kDamaged,       // the database cannot be read, or is not built as the log builds it
};

// "edited", "deleted" … for `--json`.
std::string_view name_of(Fault fault);

struct Finding {
  Fault fault = Fault::kDamaged;
  std::uint64_t seq = 0;  // the first record concerned; 0 where none can be named
  std::string what;       // one sentence
};

// Records that an opening found beyond the seal. The chain and the seal cover them since, but
// nobody can say that the supervisor wrote them: a person should look at them.
struct RecoveredTail {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t recorded_in = 0;  // the record of kind "recovery"
};

struct Verification {
  std::vector<Finding> findings;  // empty: intact. The earliest first
  std::vector<RecoveredTail> recovered;
  std::uint64_t records = 0;  // that were checked
  Head head;                  // of the chain, as far as it holds
  std::optional<Head> sealed;
  std::string sealed_at;  // RFC 3339, or empty
  bool ok() const { return findings.empty(); }
  Json to_json() const;
};

struct VerifyOptions {
  // A head that the caller kept: the log must still contain exactly that record.
  std::optional<Head> head;
  // Called from the calling thread now and then: records done, records in all.
  std::function<void(std::uint64_t, std::uint64_t)> progress;
  // Threads that hash; 0: as many as there are processors.
  unsigned threads = 0;
  // Rows that stay beyond the seal for this long are not of a supervisor at work, which seals what
  // it has committed when its disk has taken it.
  std::chrono::milliseconds seal_patience{10'000};
};

// Checks the whole log; safe while a supervisor appends. Writes nothing. Throws UserError when
// there is no log; everything that is wrong with an existing one is a finding.
Verification verify(const Places& places, const VerifyOptions& options = {});

}  // namespace sharkcage::audit
