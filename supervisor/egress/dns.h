// DNS messages (RFC 1035, RFC 6891) as pure functions over hostile bytes: the one question of a
// packet, and the response to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "capabilities/addresses.h"

namespace sharkcage::egress::dns {

using Bytes = std::span<const std::uint8_t>;

// The longest question that is read. A name, its type and an OPT with cookies and padding have room
// in it; a longer packet is malformed.
inline constexpr std::size_t kMaxQuestion = 1232;
// What every client takes in a datagram (RFC 1035, section 4.2.1). No response here is longer.
inline constexpr std::size_t kMaxResponse = 512;
// How long a client may keep an address, in seconds.
inline constexpr std::uint32_t kTimeToLive = 60;

inline constexpr std::uint16_t kTypeA = 1;
inline constexpr std::uint16_t kTypeAaaa = 28;
inline constexpr std::uint16_t kClassIn = 1;

enum class Rcode : std::uint8_t {
  kNoError = 0,
  kFormErr = 1,
  kServFail = 2,
  kNxDomain = 3,
  kNotImp = 4,
  kRefused = 5,
  kBadVers = 16,  // RFC 6891, section 6.1.3
};

struct Question {
  std::uint16_t id = 0;
  std::uint16_t flags = 0;  // the second word of the header, as it came
  // What is answered without a look at the question, which is no good; `kNoError` otherwise.
  Rcode problem = Rcode::kNoError;

  // The question's bytes: name, type, class. Empty when it could not be read.
  std::string wire;
  // For the record: as asked, without the last dot, printable; "." is the root. A dot within a
  // label and a backslash are written \x2e and \x5c.
  std::string name;
  // For rules: the name in lower case. Empty, which no rule matches, when it has other bytes than
  // those of host names, when it is the root or ends in a number, and when the class is not IN or
  // the type asks for something else than a name's records.
  std::string host;
  std::uint16_t type = 0;
  std::uint16_t class_of_data = 0;

  bool edns = false;    // there was an OPT
  bool dnssec = false;  // and its DO bit
};

// Nothing for what is to be left without an answer: a packet shorter than a header, and responses,
// so that no two servers can be made to talk to each other.
std::optional<Question> parse(Bytes packet);

// How a refusal is put: `kRefused` to who sent an OPT, and so understands the reason beside it;
// `kNxDomain` to the stubs of C libraries. To glibc's "refused" is a failure that may pass, after
// which programs try again; musl's goes on waiting as if nothing had come.
Rcode refusal_for(const Question& question);

// The response, at most `kMaxResponse` bytes. `address` is put into it when the code is `kNoError`
// and the question asked for that kind of address; otherwise the response has no answer.
// `prohibited`: why the name is not allowed, told to who sent an OPT ("Prohibited" of RFC 8914,
// section 4.19); a refusal without a reason says so in general.
std::string respond(const Question& question, Rcode code,
                    const std::optional<Address>& address = std::nullopt,
                    std::string_view prohibited = "");

}  // namespace sharkcage::egress::dns
