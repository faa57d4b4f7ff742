// The control protocol: what one side takes, the other would have written.

#include <cstdlib>
#include <string_view>

#include "common/errors.h"
#include "supervisor/egress/control.h"

namespace {

using namespace sharkcage::egress;

template <class Parse, class Print>
void check(std::string_view text, Parse parse, Print print) {
  try {
    const auto printed = print(parse(text));
    if (print(parse(printed)) != printed) std::abort();
  } catch (const sharkcage::UserError&) {
    // Not the protocol.
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > kMaxMessage) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text, order_from_text, order_to_text);
  check(text, event_from_text, event_to_text);
  return 0;
}
