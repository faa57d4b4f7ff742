// DNS: any bytes get one well-formed response or none, a response gets none, and what a question
// says stays what it says.

#include <algorithm>
#include <cstdlib>
#include <string>
#include <variant>

#include "capabilities/destinations.h"
#include "common/text.h"
#include "supervisor/egress/dns.h"
#include "tests/unit/egress/dns_message.h"

namespace {

using namespace sharkcage;
using namespace sharkcage::egress;

void require(bool holds) {
  if (!holds) std::abort();
}

bool is_host_text(const std::string& host) {
  return host.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") == std::string::npos;
}

// The name of a question as RFC 1035 bounds it: labels of 63 bytes at most, 255 in all.
void check_wire(const std::string& wire) {
  if (wire.empty()) return;
  require(wire.size() <= 255 + 4);
  std::size_t at = 0;
  for (;;) {
    const auto length = static_cast<unsigned char>(wire.at(at));
    require(length <= 63);
    at += 1 + length;
    if (length == 0) break;
  }
  require(at + 4 == wire.size());
}

// What is kept of a name commands no terminal, and what rules are asked about is a name.
void check_names(const dns::Question& question) {
  require(printable(question.name) == question.name);
  require(question.wire.empty() == question.name.empty());
  if (question.host.empty()) return;
  require(is_host_text(question.host) && question.host.size() <= 253);
  require(question.host.size() == question.name.size());
  require(question.class_of_data == dns::kClassIn);
  const auto destination = destination_from_text(question.host, 443);
  if (!std::holds_alternative<Destination>(destination)) return;
  require(std::get<Destination>(destination).host == question.host);
  require(!std::get<Destination>(destination).literal);
}

void check_response(const dns::Question& question, const std::string& response, dns::Rcode code,
                    const std::optional<Address>& address) {
  require(response.size() >= 12 && response.size() <= dns::kMaxResponse);
  // As another implementation reads it.
  const testing::Response read = testing::read_response(response);
  require(read.readable);
  require(read.id == question.id);
  // Operation, recursion desired and checking disabled come back; it is a response.
  require((read.flags & 0xF910u) == (0x8000u | (question.flags & 0x7910u)));
  require(read.code ==
          (question.edns ? static_cast<unsigned>(code) : static_cast<unsigned>(code) & 0xFu));
  require(read.question == question.wire);
  require(read.opt == question.edns);
  require(read.addresses.size() <= (address ? 1 : 0));
  require(read.addresses.empty() || read.addresses[0].size() == address->bytes().size());
  // Nobody answers it, and as a question it is the same one.
  require(!dns::parse(testing::bytes_of(response)));
  if (question.wire.empty() || !read.addresses.empty()) return;
  std::string asked = response;
  asked[2] = static_cast<char>(asked[2] & 0x07);  // neither a response nor another operation
  const auto again = dns::parse(testing::bytes_of(asked));
  require(again && again->problem == dns::Rcode::kNoError);
  require(again->wire == question.wire && again->name == question.name);
  require(again->host == question.host);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 2 * dns::kMaxQuestion) return 0;
  const dns::Bytes packet(data, size);
  const auto question = dns::parse(packet);
  require(question.has_value() == (size >= 12 && (data[2] & 0x80) == 0));
  if (!question) return 0;
  require(question->id == (data[0] << 8 | data[1]));
  require(question->wire.size() <= size - 12 &&
          std::equal(question->wire.begin(), question->wire.end(), data + 12,
                     [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; }));
  check_wire(question->wire);
  check_names(*question);
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::optional<Address> addresses[] = {std::nullopt, Address::parse("198.18.0.1"),
                                              Address::parse("fd00::1")};
  for (const auto code :
       {dns::Rcode::kNoError, dns::Rcode::kRefused, dns::Rcode::kNxDomain, question->problem}) {
    for (const auto& address : addresses) {
      const std::string response = dns::respond(*question, code, address, text);
      check_response(*question, response, code, address);
    }
  }
  return 0;
}
