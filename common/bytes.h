// Byte strings on the wire: text where it is UTF-8, {"b64": "…"} where it is not
// (docs/protocol.md).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/json.h"

namespace sharkcage {

bool is_utf8(std::string_view bytes);

Json bytes_to_json(std::string_view bytes);

// The inverse. Throws UserError, naming `field`, for any other shape or bad base64.
std::string bytes_from_json(const Json& value, std::string_view field);

std::string base64_encode(std::string_view bytes);

// Nothing for what is not base64 with its padding (RFC 4648, section 4).
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace sharkcage
