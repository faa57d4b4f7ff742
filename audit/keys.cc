#include "audit/keys.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/log.h"
#include "common/errors.h"
#include "common/fd.h"

namespace sharkcage::audit {
namespace {

constexpr std::size_t kMaxPem = 16u << 10;
constexpr std::size_t kSignature = 64;

EVP_PKEY* native(const std::unique_ptr<void, Key::Free>& key) {
  return static_cast<EVP_PKEY*>(key.get());
}

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

Bio memory_bio(std::string_view text = {}) {
  Bio bio(text.empty() ? BIO_new(BIO_s_mem())
                       : BIO_new_mem_buf(text.data(), static_cast<int>(text.size())),
          BIO_free);
  if (!bio) throw LogError("OpenSSL cannot allocate memory");
  return bio;
}

std::string content_of(const Bio& bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(length)};
}

std::string public_pem(EVP_PKEY* key) {
  const Bio bio = memory_bio();
  if (PEM_write_bio_PUBKEY(bio.get(), key) != 1)
    throw LogError("OpenSSL cannot write a public key");
  return content_of(bio);
}

void require_ed25519(EVP_PKEY* key, const std::string& path) {
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519) {
    throw UserError(path + " holds no Ed25519 key",
                    "Restore the file of this instance from a backup; without it the audit log "
                    "cannot be continued.");
  }
}

void require_private(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw_errno("stat", path);
  if (status.st_uid != ::geteuid() || (status.st_mode & 077) != 0) {
    throw UserError("the instance's private key " + path + " is open to other users",
                    "If nobody else has read it, run: chmod 600 " + path);
  }
}

}  // namespace

void Key::Free::operator()(void* key) const {
  EVP_PKEY_free(static_cast<EVP_PKEY*>(key));
}

std::string public_key_file(const std::string& private_key_file) {
  return private_key_file + ".pub";
}

Key Key::load_private(const std::string& path) {
  require_private(path);
  const std::string pem = read_file(path, kMaxPem);
  const Bio bio = memory_bio(pem);
  // The empty pass phrase: without one OpenSSL would ask on the terminal for an encrypted file.
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, const_cast<char*>("")));
  require_ed25519(native(key.key_), path);
  const std::string public_file = public_key_file(path);
  if (::access(public_file.c_str(), F_OK) != 0) {
    write_file_atomically(public_file, public_pem(native(key.key_)), 0644);
  }
  return key;
}

Key Key::create(const std::string& path) {
  Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  if (!key.key_) throw LogError("OpenSSL cannot make an Ed25519 key");
  const Bio bio = memory_bio();
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), native(key.key_), nullptr, nullptr, 0, nullptr,
                                    nullptr) != 1) {
    throw LogError("OpenSSL cannot write a private key");
  }
  write_file_atomically(path, content_of(bio), 0600);
  write_file_atomically(public_key_file(path), public_pem(native(key.key_)), 0644);
  return key;
}

Key Key::load_public(const std::string& path) {
  const std::string pem = read_file(path, kMaxPem);
  const Bio bio = memory_bio(pem);
  Key key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  require_ed25519(native(key.key_), path);
  return key;
}

std::string Key::sign(std::string_view message) const {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  std::string signature(kSignature, '\0');
  std::size_t length = signature.size();
  if (!context || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, native(key_)) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length,
                     reinterpret_cast<const unsigned char*>(message.data()), message.size()) != 1) {
    throw LogError("OpenSSL cannot sign the head of the audit log");
  }
  return signature;
}

bool Key::verifies(std::string_view message, std::string_view signature) const {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  return context &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, native(key_)) == 1 &&
         EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                          signature.size(), reinterpret_cast<const unsigned char*>(message.data()),
                          message.size()) == 1;
}

std::string Key::raw_public() const {
  std::string raw(32, '\0');
  std::size_t length = raw.size();
  if (EVP_PKEY_get_raw_public_key(native(key_), reinterpret_cast<unsigned char*>(raw.data()),
                                  &length) != 1) {
    throw LogError("OpenSSL cannot read the public key");
  }
  return raw;
}

}  // namespace sharkcage::audit
