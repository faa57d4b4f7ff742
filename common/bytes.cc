#include "common/bytes.h"

#include <openssl/evp.h>

#include <utility>

#include "common/errors.h"

namespace sharkcage {

std::string base64_encode(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()),
                                     static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
  std::string out(text.size() / 4 * 3 + 1, '\0');
  const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                     reinterpret_cast<const unsigned char*>(text.data()),
                                     static_cast<int>(text.size()));
  if (length < 0 || text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  out.resize(static_cast<std::size_t>(length) - padding);
  return out;
}

Json bytes_to_json(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  return Json{{"b64", base64_encode(bytes)}};
}

std::string bytes_from_json(const Json& value, std::string_view field) {
  if (value.is_string()) return value.get<std::string>();
  const std::string name(field);
  if (!value.is_object() || value.size() != 1 || !value.contains("b64") ||
      !value["b64"].is_string()) {
    throw UserError(name + ": expected a string or {\"b64\": \"…\"}");
  }
  auto bytes = base64_decode(value["b64"].get_ref<const std::string&>());
  if (!bytes) throw UserError(name + ": not base64");
  return std::move(*bytes);
}

}  // namespace sharkcage
