// One record of the audit log: its fields, its canonical form, its place in the chain.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/json.h"

namespace sharkcage::audit {

inline constexpr int kRecordVersion = 1;

// The canonical payload of one record, in bytes. What is larger is cut and says so.
inline constexpr std::size_t kMaxPayload = 64u << 10;
// Every other field, in bytes. What is longer is cut and ends in "… (cut, N bytes)".
inline constexpr std::size_t kMaxField = 4u << 10;

// The `prev_hash` of the first record.
inline constexpr std::string_view kNoHash =
    "0000000000000000000000000000000000000000000000000000000000000000";

// A place in the chain: a sequence number and the hash of that record. {0, kNoHash} is the empty
// log.
struct Head {
  std::uint64_t seq = 0;
  std::string hash{kNoHash};
  bool operator==(const Head&) const = default;
  std::string text() const;  // "SEQ:HASH"
};

// "SEQ:HASH" as `sc audit verify --head` takes it. Throws UserError.
Head parse_head(std::string_view text);

// Plain data. Who appends fills in what it knows, from `kind` to `payload`; the log sets the rest.
struct Record {
  std::uint64_t seq = 0;         // set by the log: 1, 2, 3 …
  int version = kRecordVersion;  // set by the log
  std::string time;              // RFC 3339 UTC, microseconds; set by the log
  std::string kind;              // "verdict", "outcome", "connection", "approval" …
  std::string session;
  std::string agent;
  std::string skill;
  std::string tool;
  std::string call;
  std::string decision;  // "allow", "block", "ask" or empty
  std::string reason;
  std::string policy;  // a digest, or empty
  // An object. A non-empty array "refused" in it makes the record one of `--blocked`, whatever the
  // decision: that is how an outcome reports what was refused while it ran.
  Json payload = Json::object();
  std::string prev_hash;  // set by the log
  std::string hash;       // set by the log

  // All fields, as `sc audit --json` prints them.
  Json to_json() const;
};

// What the hash covers: every field but `hash`, in the form of RFC 8785. Throws
// std::invalid_argument for a payload that has no such form (a logged record always has one).
std::string canonical_form(const Record& record);

// SHA-256 of the canonical form: 64 lower-case hexadecimal digits.
std::string hash_of(const Record& record);

// True for what `--blocked` shows: decision "block", or a payload with a non-empty array "refused".
bool is_blocked(const Record& record);

}  // namespace sharkcage::audit
