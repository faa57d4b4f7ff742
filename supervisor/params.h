// Typed access to a request's parameters; every complaint names the method's member.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/bytes.h"
#include "common/errors.h"
#include "common/json.h"

namespace sharkcage {

class Params {
 public:
  explicit Params(const Json& value) : value_(value) {}

  bool has(const char* name) const { return value_.contains(name) && !value_.at(name).is_null(); }

  std::string text(const char* name) const {
    if (!has(name)) throw UserError(std::string(name) + ": missing");
    if (!value_.at(name).is_string()) throw UserError(std::string(name) + ": expected a string");
    return value_.at(name).get<std::string>();
  }
  std::string text_or(const char* name, std::string fallback) const {
    return has(name) ? text(name) : std::move(fallback);
  }
  bool flag(const char* name) const {
    if (!has(name)) return false;
    if (!value_.at(name).is_boolean())
      throw UserError(std::string(name) + ": expected true or false");
    return value_.at(name).get<bool>();
  }
  std::optional<std::uint64_t> number(const char* name) const {
    if (!has(name)) return std::nullopt;
    if (!value_.at(name).is_number_unsigned()) {
      throw UserError(std::string(name) + ": expected a whole number, not negative");
    }
    return value_.at(name).get<std::uint64_t>();
  }
  std::uint64_t number_between(const char* name, std::uint64_t low, std::uint64_t high) const {
    const auto found = number(name);
    if (!found || *found < low || *found > high) {
      throw UserError(std::string(name) + ": expected a whole number from " + std::to_string(low) +
                      " to " + std::to_string(high));
    }
    return *found;
  }
  const Json& object(const char* name) const {
    if (!has(name) || !value_.at(name).is_object()) {
      throw UserError(std::string(name) + ": expected an object");
    }
    return value_.at(name);
  }
  // A list of objects; empty when absent.
  std::vector<Json> objects(const char* name) const {
    std::vector<Json> out;
    for (const auto& item : list(name)) {
      if (!item.is_object()) throw UserError(std::string(name) + ": expected a list of objects");
      out.push_back(item);
    }
    return out;
  }
  // A list of byte strings without NUL, which no argument can hold; empty when absent.
  std::vector<std::string> byte_strings(const char* name) const {
    std::vector<std::string> out;
    for (const auto& item : list(name))
      out.push_back(without_nul(bytes_from_json(item, name), name));
    return out;
  }
  std::string bytes(const char* name) const {
    if (!has(name)) throw UserError(std::string(name) + ": missing");
    return without_nul(bytes_from_json(value_.at(name), name), name);
  }
  // An absolute path in UTF-8.
  std::string path(const char* name) const {
    const std::string found = without_nul(text(name), name);
    if (found.empty() || found.front() != '/') {
      throw UserError(std::string(name) + ": expected an absolute path");
    }
    return found;
  }
  // An object of strings.
  std::map<std::string, std::string> environment(const char* name) const {
    std::map<std::string, std::string> out;
    if (!has(name)) return out;
    for (const auto& [key, item] : object(name).items()) out[key] = bytes_from_json(item, name);
    return out;
  }

 private:
  std::vector<Json> list(const char* name) const {
    if (!has(name)) return {};
    if (!value_.at(name).is_array()) throw UserError(std::string(name) + ": expected a list");
    return value_.at(name).get<std::vector<Json>>();
  }
  static std::string without_nul(std::string text, const char* name) {
    if (text.find('\0') != std::string::npos) {
      throw UserError(std::string(name) +
                      ": contains a NUL byte, which no argument or path can hold");
    }
    return text;
  }

  const Json& value_;
};

}  // namespace sharkcage
