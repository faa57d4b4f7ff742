#include "common/text.h"

#include <charconv>
#include <cstdio>
#include <ctime>

#include "common/bytes.h"
#include "common/errors.h"

namespace sharkcage {
namespace {

// The number at the start of `text`; what follows it is left in `text`.
std::uint64_t take_number(std::string_view& text, const std::string& complaint) {
  std::uint64_t number = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end.ec != std::errc{}) throw UserError(complaint);
  text.remove_prefix(static_cast<std::size_t>(end.ptr - text.data()));
  return number;
}

}  // namespace

std::string rfc3339(std::chrono::system_clock::time_point time) {
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = micros / 1'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[96];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", parts.tm_year + 1900,
                parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                static_cast<int>(micros % 1'000'000));
  return text;
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  char escape[16];
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      if (byte == '\n') {
        out += "\\n";
      } else if (byte == '\t') {
        out += "\\t";
      } else if (byte < 0x20 || byte == 0x7F) {
        std::snprintf(escape, sizeof escape, "\\x%02x", byte);
        out += escape;
      } else {
        out += static_cast<char>(byte);
      }
      ++i;
      continue;
    }
    const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
    const std::string_view character = text.substr(i, length);
    if (byte < 0xC2 || character.size() < length || !is_utf8(character)) {
      std::snprintf(escape, sizeof escape, "\\x%02x", byte);
      out += escape;
      ++i;
      continue;
    }
    unsigned code = byte & (0xFFu >> (length + 1));
    for (std::size_t k = 1; k < length; ++k) {
      code = (code << 6) | (static_cast<unsigned char>(character[k]) & 0x3Fu);
    }
    // C1 controls, zero-width and bidirectional controls (Unicode TR 36, TR 9).
    const bool hidden = (code >= 0x80 && code < 0xA0) || (code >= 0x200B && code <= 0x200F) ||
                        (code >= 0x2028 && code <= 0x202E) || (code >= 0x2060 && code <= 0x2069) ||
                        code == 0xFEFF || code == 0x061C;
    if (hidden) {
      std::snprintf(escape, sizeof escape, "\\u%04x", code);
      out += escape;
    } else {
      out += character;
    }
    i += length;
  }
  return out;
}

std::uint64_t parse_size(std::string_view text, std::string_view field) {
  const std::string complaint =
      std::string(field) + ": \"" + printable(text) + "\" is not a size such as \"512M\" or \"8G\"";
  std::string_view rest = text;
  const std::uint64_t number = take_number(rest, complaint);
  int shift = 0;
  if (rest == "K") {
    shift = 10;
  } else if (rest == "M") {
    shift = 20;
  } else if (rest == "G") {
    shift = 30;
  } else if (rest == "T") {
    shift = 40;
  } else if (!rest.empty()) {
    throw UserError(complaint);
  }
  // 2^53: the largest integer that the canonical JSON form carries.
  if (number > (std::uint64_t{1} << 53) >> shift) throw UserError(complaint);
  return number << shift;
}

std::chrono::milliseconds parse_duration(std::string_view text, std::string_view field) {
  const std::string complaint =
      std::string(field) + ": \"" + printable(text) +
      "\" is not a duration such as \"30s\" or \"5m\" (units: ms, s, m, h, d)";
  std::string_view rest = text;
  const std::uint64_t number = take_number(rest, complaint);
  std::uint64_t unit = 0;
  if (rest == "ms") {
    unit = 1;
  } else if (rest == "s") {
    unit = 1000;
  } else if (rest == "m") {
    unit = 60'000;
  } else if (rest == "h") {
    unit = 3'600'000;
  } else if (rest == "d") {
    unit = 86'400'000;
  } else {
    throw UserError(complaint);
  }
  constexpr std::uint64_t kYear = 366ull * 86'400'000;
  if (number > kYear / unit) {
    throw UserError(std::string(field) + ": \"" + printable(text) + "\" is longer than 366d");
  }
  return std::chrono::milliseconds(number * unit);
}

}  // namespace sharkcage
