// Heads of HTTP requests: any bytes give an answer, and the same one however they are cut. What the
// server gets is again one request, of the target that was judged.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "supervisor/egress/http.h"

namespace {

using namespace sharkcage::egress::http;

void require(bool holds) {
  if (!holds) std::abort();
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const Head whole = parse_head(bytes);
  require(whole.status != Head::Status::kMore || size < kMaxHead);
  if (whole.status == Head::Status::kMalformed) {
    require(whole.error >= 400 && !whole.problem.empty());
    require(response(whole.error, whole.problem).ends_with("\n"));
    return 0;
  }
  if (whole.status == Head::Status::kMore) return 0;
  require(whole.size <= size && !whole.host.empty() && whole.port > 0 && whole.port < 65536);
  require(parse_head(bytes.substr(0, whole.size)).host == whole.host);
  require(parse_head(bytes.substr(0, whole.size - 1)).status == Head::Status::kMore);
  if (whole.tunnel) return 0;
  require(count(whole.forward, "\r\n\r\n") == 1 && whole.forward.ends_with("\r\n\r\n"));
  require(count(whole.forward, "\r\nHost: ") == 1);
  std::string lower = whole.forward;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  require(count(lower, "\r\nproxy-") == 0 && count(lower, "\r\nhost:") == 1);
  return 0;
}
