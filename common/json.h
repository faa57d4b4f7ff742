// JSON with limits on what is read, and one canonical form for what is hashed (RFC 8785).
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace sharkcage {

using Json = nlohmann::json;

struct JsonLimits {
  std::size_t bytes = 8u << 20;
  std::size_t depth = 64;
};

// Parses one JSON text. Throws UserError that names `source` and the line and column: not JSON, not
// UTF-8, larger or deeper than the limits, or a key twice in one object. The depth is bounded before
// anything is built, so that hostile nesting cannot exhaust the stack.
Json parse_json(std::string_view text, std::string_view source, JsonLimits limits = {});

// The canonical form of RFC 8785: keys sorted by UTF-16 code units, no white space, numbers as
// ECMAScript prints them. Throws std::invalid_argument for integers beyond 2^53 and for numbers that
// are not finite, which have no interoperable form.
std::string canonical_json(const Json& value);

// One line for a wire: invalid UTF-8 is replaced instead of thrown at.
std::string dump_json(const Json& value);

}  // namespace sharkcage
