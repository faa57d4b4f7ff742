#include "capabilities/idn.h"

#include <idn2.h>

#include <memory>

namespace sharkcage {

std::optional<std::string> ascii_name(const std::string& name, std::string& why) {
  // Without IDN2_USE_STD3_ASCII_RULES, by which libidn2 2.3.3 leaves out what is not allowed:
  // "ex／ample.com" would become "example.com". What comes of it is to be checked as any name.
  constexpr int kFlags = IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL;
  char* text = nullptr;
  const int result = ::idn2_to_ascii_8z(name.c_str(), &text, kFlags);
  const std::unique_ptr<char, decltype(&::idn2_free)> held(text, &::idn2_free);
  if (result == IDN2_OK) return std::string(text);
  why = ::idn2_strerror(result);
  return std::nullopt;
}

}  // namespace sharkcage
