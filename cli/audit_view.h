// Audit records in words.
#pragma once

#include <chrono>
#include <string>

#include "audit/record.h"

namespace sharkcage::cli {

// "weather tried to reach evil.example:443 — not approved". Raw: not yet made printable.
std::string describe(const audit::Record& record);

// A line: time, decision, sequence number, sentence. Without a line end; printable.
std::string audit_line(const audit::Record& record, bool colours,
                       std::chrono::system_clock::time_point now);

// The inverse of audit::Record::to_json, for records that came over the wire. Members that are
// absent or of another type stay empty.
audit::Record record_from_json(const Json& value);

}  // namespace sharkcage::cli
