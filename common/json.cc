#include "common/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <stdexcept>
#include <vector>

#include "common/errors.h"

namespace sharkcage {
namespace {

std::string place_of(std::string_view text, std::size_t offset) {
  std::size_t line = 1;
  std::size_t column = 1;
  for (std::size_t i = 0; i < std::min(offset, text.size()); ++i) {
    if (text[i] == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

// The deepest nesting of `text`, read as brackets outside strings. Cheap and iterative, so that it
// can stand in front of any parser.
bool deeper_than(std::string_view text, std::size_t limit, std::size_t& where) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > limit) {
        where = i;
        return true;
      }
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

// UTF-16 code unit order (RFC 8785, 3.2.3). It differs from byte order only where one string has a
// character beyond the BMP and the other one of U+E000..U+FFFF at the same place.
bool utf16_less(const std::string& a, const std::string& b) {
  const auto mismatch = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (mismatch.first == a.end() || mismatch.second == b.end()) return a.size() < b.size();
  const auto x = static_cast<unsigned char>(*mismatch.first);
  const auto y = static_cast<unsigned char>(*mismatch.second);
  const bool x_surrogates = x >= 0xF0;
  const bool y_surrogates = y >= 0xF0;
  if (x_surrogates != y_surrogates && x >= 0xEE && y >= 0xEE) return x_surrogates;
  return x < y;
}

void append_string(std::string& out, const std::string& text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += kDigits[static_cast<unsigned char>(c) >> 4];
          out += kDigits[c & 15];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

// ECMAScript's Number::toString (ECMA-262, 6.1.6.1.20), built on the shortest digits of to_chars.
void append_double(std::string& out, double value) {
  if (!std::isfinite(value)) throw std::invalid_argument("a number that is not finite");
  if (value == 0) {
    out += '0';
    return;
  }
  if (value < 0) {
    out += '-';
    value = -value;
  }
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<std::size_t>(end.ptr - buffer));
  const std::size_t e = text.find('e');
  std::string digits(1, text[0]);
  if (e > 2) digits += text.substr(2, e - 2);
  int exponent = 0;
  const std::size_t from = text[e + 1] == '+' ? e + 2 : e + 1;
  std::from_chars(text.data() + from, text.data() + text.size(), exponent);

  const int count = static_cast<int>(digits.size());
  const int point = exponent + 1;
  if (count <= point && point <= 21) {
    out += digits + std::string(static_cast<std::size_t>(point - count), '0');
  } else if (0 < point && point <= 21) {
    out += digits.substr(0, static_cast<std::size_t>(point)) + '.' +
           digits.substr(static_cast<std::size_t>(point));
  } else if (-6 < point && point <= 0) {
    out += "0." + std::string(static_cast<std::size_t>(-point), '0') + digits;
  } else {
    out += digits.substr(0, 1);
    if (count > 1) out += '.' + digits.substr(1);
    out += (exponent < 0 ? "e-" : "e+") + std::to_string(std::abs(exponent));
  }
}

constexpr std::int64_t kMaxSafeInteger = (std::int64_t{1} << 53) - 1;

void append_canonical(std::string& out, const Json& value) {
  switch (value.type()) {
    case Json::value_t::object: {
      std::vector<const std::string*> keys;
      keys.reserve(value.size());
      for (const auto& item : value.items()) keys.push_back(&item.key());
      std::sort(keys.begin(), keys.end(),
                [](const auto* a, const auto* b) { return utf16_less(*a, *b); });
      out += '{';
      for (std::size_t i = 0; i < keys.size(); ++i) {
        if (i != 0) out += ',';
        append_string(out, *keys[i]);
        out += ':';
        append_canonical(out, value.at(*keys[i]));
      }
      out += '}';
      break;
    }
    case Json::value_t::array:
      out += '[';
      for (std::size_t i = 0; i < value.size(); ++i) {
        if (i != 0) out += ',';
        append_canonical(out, value[i]);
      }
      out += ']';
      break;
    case Json::value_t::string: append_string(out, value.get_ref<const std::string&>()); break;
    case Json::value_t::boolean: out += value.get<bool>() ? "true" : "false"; break;
    case Json::value_t::number_unsigned:
      if (value.get<std::uint64_t>() > static_cast<std::uint64_t>(kMaxSafeInteger)) {
        throw std::invalid_argument("an integer beyond 2^53");
      }
      out += std::to_string(value.get<std::uint64_t>());
      break;
    case Json::value_t::number_integer: {
      const auto number = value.get<std::int64_t>();
      if (number > kMaxSafeInteger || number < -kMaxSafeInteger) {
        throw std::invalid_argument("an integer beyond 2^53");
      }
      out += std::to_string(number);
      break;
    }
    case Json::value_t::number_float: append_double(out, value.get<double>()); break;
    default: out += "null"; break;
  }
}

}  // namespace

Json parse_json(std::string_view text, std::string_view source, JsonLimits limits) {
  const std::string name(source);
  if (text.size() > limits.bytes) {
    throw UserError(name + " is larger than " + std::to_string(limits.bytes) + " bytes");
  }
  std::size_t where = 0;
  if (deeper_than(text, limits.depth, where)) {
    throw UserError(name + ": " + place_of(text, where) + ": nested deeper than " +
                    std::to_string(limits.depth) + " levels");
  }
  std::vector<std::set<std::string>> keys;
  std::string repeated;
  const auto watch_keys = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second && repeated.empty()) repeated = key;
    }
    return true;
  };
  Json value;
  try {
    value = Json::parse(text, watch_keys);
  } catch (const Json::parse_error& error) {
    throw UserError(name + ": " + place_of(text, error.byte > 0 ? error.byte - 1 : 0) +
                    ": not valid JSON");
  } catch (const Json::exception&) {
    // E.g. a number beyond every range (out_of_range.406).
    throw UserError(name + ": a value that cannot be represented");
  }
  if (!repeated.empty()) throw UserError(name + ": the key \"" + repeated + "\" stands twice");
  return value;
}

std::string canonical_json(const Json& value) {
  std::string out;
  append_canonical(out, value);
  return out;
}

std::string dump_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace sharkcage
