// What a client says before bytes are relayed: SOCKS5 or HTTP as a conversation over a stream.
#pragma once

#include <asio/awaitable.hpp>
#include <functional>
#include <string>
#include <variant>

#include "capabilities/destinations.h"
#include "supervisor/egress/socks5.h"
#include "supervisor/egress/stream.h"

namespace sharkcage::egress {

enum class Protocol { kSocks5, kHttpTunnel, kHttpForward, kCaught };

// A client with the right token that asked for a connection; it waits for `reply_to`.
struct Requested {
  Protocol protocol = Protocol::kSocks5;
  std::string host;  // as asked, made printable
  unsigned port = 0;
  std::variant<Destination, NoDestination> destination;
  socks5::Command command = socks5::Command::kConnect;  // any value of the wire
  std::string early;         // what the server gets first: bytes that the client sent ahead
  std::string call;          // whose token it showed
  std::string program = {};  // of a caught one: which made it
};

// A client that is to be refused, and told so in `reply` (empty: in no words).
struct Refused {
  std::string reason;
  std::string reply;
};

// A client that left without having said anything, or was cut.
struct Gone {};

using Handshake = std::variant<Requested, Refused, Gone>;

// What came of a request, in the words of its protocol. `why` is for a person, where the protocol
// has a place for it.
std::string reply_to(Protocol protocol, socks5::Reply outcome, const std::string& why);

// The call that a token stands for, or empty. Takes the same time for every token of a length.
using FindCall = std::function<std::string(const std::string& token)>;

// The same, asked again after a moment if it is nobody's: the order that admits a call comes on
// another descriptor, and may not have been read yet.
asio::awaitable<std::string> find_patiently(const FindCall& find_call, std::string token);

// Speaks up to the request. The user name (of basic credentials, with HTTP) must be a token that
// `find_call` knows; the password is ignored. Bounded in bytes by its buffer, in time by whoever
// cuts the stream.
asio::awaitable<Handshake> shake_hands(Stream& client, const FindCall& find_call);

}  // namespace sharkcage::egress
