// A record as it lies in the table: text, not yet parsed. Internal to `audit`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "audit/record.h"

namespace sharkcage::audit {

// Views into a record, a statement's current row or buffers of the writer.
struct Row {
  std::int64_t seq = 0;
  std::int64_t version = 0;
  std::string_view time, kind, session, agent, skill, tool, call, decision, reason, policy;
  std::string_view payload;  // canonical JSON text
  std::string_view prev_hash, hash;
};

// Appends what the hash covers: byte for byte canonical_json of the fields but `hash`, without
// building a JSON value.
//
// The payload goes in as it stands. That is unambiguous, because what was hashed holds a payload
// that is one JSON object: other fields are escaped, so the text that separates fields cannot be
// part of one, and no other payload text gives the same bytes.
void append_canonical(std::string& out, const Row& row);

// SHA-256 of `data` as 64 hexadecimal digits in `out`, without allocating. Throws LogError.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  std::string_view hex(std::string_view data);  // valid until the next call

 private:
  void* context_ = nullptr;
  void* digest_ = nullptr;
  char text_[64];
};

// The parsed record. A payload that is not a JSON object becomes {"unreadable": "…"}.
Record to_record(const Row& row);

// Whether the payload text has a non-empty array "refused" at its top level.
bool payload_refuses(std::string_view payload);

}  // namespace sharkcage::audit
