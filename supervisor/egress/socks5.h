// SOCKS5 (RFC 1928) with user name and password (RFC 1929), as pure functions over the bytes that
// have arrived. Each is called again with more bytes while it says `kMore`, keeps no state, and
// looks at no byte beyond its own message, so that what a client sends ahead is left alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "capabilities/addresses.h"

namespace sharkcage::egress::socks5 {

using Bytes = std::span<const std::uint8_t>;

// The longest of the three messages, authentication: 2 + 255 + 1 + 255.
inline constexpr std::size_t kMaxMessage = 513;

enum class Status { kMore, kDone, kMalformed };

struct Greeting {
  Status status = Status::kMore;
  std::size_t size = 0;    // bytes of the message, when done
  bool socks4 = false;     // malformed because it is the older protocol
  bool user_name = false;  // the client offers method 2
};
Greeting parse_greeting(Bytes bytes);

struct Authentication {
  Status status = Status::kMore;
  std::size_t size = 0;
  std::string user_name;  // any bytes; the password is read over
};
Authentication parse_authentication(Bytes bytes);

enum class Command : std::uint8_t { kConnect = 1, kBind = 2, kUdpAssociate = 3 };

struct Request {
  Status status = Status::kMore;
  std::size_t size = 0;
  std::uint8_t command = 0;        // any value: see `Command`
  bool unknown_address = false;    // malformed because of its address type
  std::optional<Address> address;  // or
  std::string name;                // any bytes, may be empty
  std::uint16_t port = 0;
};
Request parse_request(Bytes bytes);

// RFC 1928, section 6.
enum class Reply : std::uint8_t {
  kSucceeded = 0,
  kFailure = 1,
  kNotAllowed = 2,
  kNetworkUnreachable = 3,
  kHostUnreachable = 4,
  kRefused = 5,
  kCommandNotSupported = 7,
  kAddressNotSupported = 8,
};

std::string method_reply(bool acceptable);
std::string authentication_reply(bool ok);
// The bound address is always 0.0.0.0:0: the host's addresses are none of the sandbox's business.
std::string request_reply(Reply reply);
// "Request rejected or failed", for a SOCKS4 client.
std::string socks4_refusal();

}  // namespace sharkcage::egress::socks5
