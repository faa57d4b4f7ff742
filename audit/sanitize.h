// Makes of what a caller hands in what the log can hold. Internal to `audit`.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "audit/record.h"

namespace sharkcage::audit {

using Redact = std::function<std::string(std::string_view)>;

// Nesting of a payload beyond this is cut.
inline constexpr std::size_t kMaxDepth = 32;

// A record's text fields made UTF-8 and short enough, its reason redacted; its payload redacted,
// made representable and cut to kMaxPayload. Returns the payload's canonical form; `record.payload`
// itself is left as it was. Never throws for what the record contains.
std::string sanitize(Record& record, const Redact& redact);

}  // namespace sharkcage::audit
