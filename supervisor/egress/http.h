// HTTP/1.1 as a client of a proxy speaks it (RFC 9110, RFC 9112): the head of its first request, as
// a pure function over the bytes that have arrived, and the answers of a proxy.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sharkcage::egress::http {

// Longer ones are answered with 431.
inline constexpr std::size_t kMaxHead = 32u << 10;

struct Head {
  enum class Status { kMore, kDone, kMalformed };
  Status status = Status::kMore;
  std::size_t size = 0;  // bytes of the head, when done
  int error = 0;         // when malformed: the status to answer with
  std::string problem;   // and why

  bool tunnel = false;  // CONNECT; else `forward` is what the server gets
  std::string host;     // as asked, of the target; brackets of an IPv6 address removed
  unsigned port = 0;
  bool credentials = false;  // it shows some
  std::string token;         // the user name of basic ones; any bytes
  bool body = false;         // something follows that belongs to it
  // The head as the server gets it: target and Host are the ones that were judged, what is meant
  // for the proxy or for this connection is left out, and the server is asked to end the connection
  // behind its answer, so that no second request goes to it.
  std::string forward;
};

// False for what cannot be the beginning of a request: a method starts with a letter.
bool may_be_request(unsigned char first);

// Called again with more bytes while it says `kMore`; keeps no state.
Head parse_head(std::string_view bytes);

// "200 Connection established", after which the tunnel's bytes follow.
std::string established();

// A whole response with `text` for a person. 407 asks for basic credentials and leaves the
// connection open for them; after every other one it ends.
std::string response(int status, const std::string& text);

}  // namespace sharkcage::egress::http
