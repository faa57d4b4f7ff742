// Apart from policy.cc, so that the static launcher needs no OpenSSL.
#include "capabilities/policy.h"
#include "common/hash.h"

namespace sharkcage {

std::string Policy::digest() const {
  return sha256_hex(canonical_json(to_json()));
}

}  // namespace sharkcage
