// SOCKS5 messages: any bytes give an answer, and the same one however they are cut.

#include <cstdlib>
#include <string>

#include "supervisor/egress/socks5.h"

namespace {

using namespace sharkcage::egress::socks5;

void require(bool holds) {
  if (!holds) std::abort();
}

template <class Message>
void check(Message (*parse)(Bytes), Bytes bytes) {
  const Message whole = parse(bytes);
  require(whole.status != Status::kDone || (whole.size > 0 && whole.size <= bytes.size()));
  require(whole.status != Status::kMore || bytes.size() < kMaxMessage);
  bool decided = false;
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    const Message part = parse(bytes.first(size));
    if (part.status == Status::kMore) {
      require(!decided);
      continue;
    }
    // The first answer stands, whatever follows it.
    decided = true;
    require(part.status == whole.status && part.size == whole.size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 2 * kMaxMessage) return 0;
  const Bytes bytes(data, size);
  check(parse_greeting, bytes);
  check(parse_authentication, bytes);
  check(parse_request, bytes);
  return 0;
}
