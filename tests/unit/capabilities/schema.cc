#include "schema.h"

#include <algorithm>
#include <regex>
#include <stdexcept>

namespace sharkcage {
namespace {

bool is_type(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "number") return value.is_number();
  if (type == "integer") return value.is_number_integer();
  throw std::logic_error("schema: type " + type);
}

std::size_t characters(const Json& text) {
  const auto& bytes = text.get_ref<const std::string&>();
  return static_cast<std::size_t>(std::count_if(bytes.begin(), bytes.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

bool matches_type(const Json& value, const Json& type) {
  if (type.is_string()) return is_type(value, type.get<std::string>());
  return std::any_of(type.begin(), type.end(),
                     [&](const Json& one) { return is_type(value, one.get<std::string>()); });
}

bool matches_properties(const Json& value, const Json& schema, const Json& root) {
  if (!value.is_object()) return true;
  const Json properties = schema.value("properties", Json::object());
  for (const auto& [key, member] : value.items()) {
    if (properties.contains(key)) {
      if (!matches_schema(member, properties.at(key), root)) return false;
    } else if (schema.value("additionalProperties", true) == false) {
      return false;
    }
  }
  return true;
}

bool holds(const std::string& keyword, const Json& rule, const Json& value, const Json& schema,
           const Json& root) {
  const bool text = value.is_string();
  const bool number = value.is_number();
  if (keyword == "type") return matches_type(value, rule);
  if (keyword == "enum") return std::find(rule.begin(), rule.end(), value) != rule.end();
  if (keyword == "const") return value == rule;
  if (keyword == "not") return !matches_schema(value, rule, root);
  if (keyword == "$ref") {
    return matches_schema(value, root.at(Json::json_pointer(rule.get<std::string>().substr(1))),
                          root);
  }
  if (keyword == "pattern") {
    return !text ||
           std::regex_search(value.get<std::string>(), std::regex(rule.get<std::string>()));
  }
  if (keyword == "minLength") return !text || characters(value) >= rule.get<std::size_t>();
  if (keyword == "maxLength") return !text || characters(value) <= rule.get<std::size_t>();
  if (keyword == "minItems") return !value.is_array() || value.size() >= rule.get<std::size_t>();
  if (keyword == "maxItems") return !value.is_array() || value.size() <= rule.get<std::size_t>();
  if (keyword == "minimum") return !number || value >= rule;
  if (keyword == "maximum") return !number || value <= rule;
  if (keyword == "exclusiveMinimum") return !number || value > rule;
  if (keyword == "items") {
    return !value.is_array() || std::all_of(value.begin(), value.end(), [&](const Json& item) {
      return matches_schema(item, rule, root);
    });
  }
  if (keyword == "required") {
    return !value.is_object() || std::all_of(rule.begin(), rule.end(), [&](const Json& key) {
      return value.contains(key.get<std::string>());
    });
  }
  if (keyword == "properties") return matches_properties(value, schema, root);
  for (const char* other : {"additionalProperties", "$schema", "$defs", "title", "description"}) {
    if (keyword == other) return true;  // read with `properties`, or not a rule
  }
  throw std::logic_error("schema: keyword " + keyword);
}

}  // namespace

bool matches_schema(const Json& value, const Json& schema, const Json& root) {
  return std::all_of(schema.items().begin(), schema.items().end(), [&](const auto& item) {
    return holds(item.key(), item.value(), value, schema, root);
  });
}

}  // namespace sharkcage
