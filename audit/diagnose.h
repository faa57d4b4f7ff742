// What happened at the first record that breaks the chain. Internal to `audit`.
#pragma once

#include <cstdint>

#include "audit/store.h"
#include "audit/verify.h"

namespace sharkcage::audit {

// `bad` is the first sequence number at which the chain does not hold; all before it do. The answer
// is the simplest change of an honest log that gives what is there. Throws SQLite::Exception.
Finding diagnose(SQLite::Database& database, std::uint64_t bad);

}  // namespace sharkcage::audit
