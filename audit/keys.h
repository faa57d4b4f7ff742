// The instance's Ed25519 key pair (RFC 8032), PEM files. Internal to `audit`.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace sharkcage::audit {

// Owns an EVP_PKEY. Not thread-safe.
class Key {
 public:
  // The private key at `path`, which must belong to this user and to nobody else (mode 0600). A
  // public key beside it (path + ".pub") that is missing is written. Throws UserError,
  // system_error.
  static Key load_private(const std::string& path);
  // Creates both files. Throws system_error.
  static Key create(const std::string& path);
  // Throws UserError, also where there is none.
  static Key load_public(const std::string& path);

  std::string sign(std::string_view message) const;  // 64 bytes. Private keys only. Throws LogError
  bool verifies(std::string_view message, std::string_view signature) const;
  std::string raw_public() const;  // 32 bytes

  struct Free {
    void operator()(void* key) const;
  };

 private:
  explicit Key(void* key) : key_(key) {}
  std::unique_ptr<void, Free> key_;
};

std::string public_key_file(const std::string& private_key_file);

}  // namespace sharkcage::audit
