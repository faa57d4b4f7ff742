// Text for people: times, sizes, durations, and strings that must not command a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace sharkcage {

// RFC 3339 in UTC with microseconds, e.g. "2026-11-21T09:30:00.000001Z".
std::string rfc3339(std::chrono::system_clock::time_point time);

// `text` with control characters, ANSI escapes, bidirectional overrides and invalid UTF-8 made
// visible (\x1b, \u202e), so that hostile output cannot command the terminal it is printed on.
std::string printable(std::string_view text);

// "512M", "8G", "1024" → bytes (powers of 1024). Throws UserError naming `field`.
std::uint64_t parse_size(std::string_view text, std::string_view field);

// "500ms", "30s", "5m", "1h", "7d" → milliseconds. Throws UserError naming `field`.
std::chrono::milliseconds parse_duration(std::string_view text, std::string_view field);

}  // namespace sharkcage
