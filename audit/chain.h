// Recomputing the chain, on all processors. Internal to `audit`.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "audit/verify.h"

namespace sharkcage::audit {

struct ChainResult {
  std::optional<std::uint64_t> bad;  // the first sequence number at which the chain does not hold
  std::uint64_t good = 0;            // records before it
  std::uint64_t blocked = 0;         // of those, what `--blocked` has to show
  std::vector<RecoveredTail> recovered;
};

// Checks records 1 … `last` of the database at `path`. Rows never change while a supervisor
// appends, so each thread may read with a connection of its own, opened after the caller's
// snapshot. Throws UserError, SQLite::Exception.
ChainResult check_chain(const std::string& path, std::uint64_t last, const VerifyOptions& options);

}  // namespace sharkcage::audit
