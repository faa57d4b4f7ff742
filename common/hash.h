// SHA-256 (FIPS 180-4) and random tokens.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace sharkcage {

// The digest of `data` as 64 lower-case hexadecimal digits.
std::string sha256_hex(std::string_view data);

// A digest over pieces that arrive one after the other. Not thread-safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(std::string_view data);
  // Ends the computation: 64 lower-case hexadecimal digits.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// `bytes` bytes from getrandom(2) as lower-case hexadecimal digits. Throws system_error.
std::string random_hex(std::size_t bytes);

// Equality in time that depends on the lengths only, for tokens and tickets.
bool equal_secrets(std::string_view a, std::string_view b);

std::string to_hex(std::string_view bytes);

}  // namespace sharkcage
