// What the supervisor and the egress say to each other: one JSON object a packet, over a SEQPACKET
// socket. This header is the protocol; both sides use it.
//
//   supervisor → egress (orders)
//     {"order": "listen", "id": N, "sockets": "all"|"proxy"|"names", "session": "…", "skill": "…",
//      "tokens": [{"call": "…", "command": N, "token": "…"}…],
//      "hosts": [{"host": "…", "port": N, "internal": B}…], "deny_hosts": ["…"…]}
//                      + what NetworkFd lists (capabilities/caught.h), made inside the sandbox, or
//                        one of them alone
//     {"order": "admit", "id": N, "call": "…", "command": N, "token": "…"}   one more call of that
//                        sandbox
//     {"order": "dismiss", "id": N, "call": "…"}   its token ends, its connections are cut
//     {"order": "close", "id": N}      all tokens end, all connections are cut
//
//   egress → supervisor (events)
//     {"event": "ready", "uid": N, "landlock": ABI}           confined; orders are served from here
//     {"event": "connection", "id": N, "connection": N, "phase": "open"|"close", …}  see below
//     {"event": "closed", "id": N}     the answer to "close": no event of that listener follows
//     {"event": "failed", "id": N, "reason": "…"}  an order that was not carried out; N 0: the
//     egress
//                                      itself could not start, its end follows
// A third descriptor is memory that both see: how often each listener's attempts came to nothing
// (refused_counts.h).
//
// Ids are the supervisor's, positive, and never used twice in one egress. Descriptors and objects
// of any other shape end the egress: it does not guess what the supervisor meant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "capabilities/policy.h"

namespace sharkcage::egress {

// Where the egress finds its descriptors.
inline constexpr int kControlFd = 3;   // SEQPACKET, this protocol
inline constexpr int kLifelineFd = 4;  // end of file: the supervisor is gone, so is the egress
inline constexpr int kCountsFd = 5;    // a memfd, only until it is mapped

// One packet is one skb chain of a Unix socket, bounded by the default send buffer (unix(7)).
inline constexpr std::size_t kMaxMessage = 128u << 10;

// 128 bits as hexadecimal digits is the least, RFC 1929's user name the most.
inline constexpr std::size_t kMinToken = 32;
inline constexpr std::size_t kMaxToken = 255;

// What the connections of one call show.
struct CallToken {
  std::string call;
  std::string token;          // a secret: in no event, no error and no log; empty without a proxy
  std::uint64_t command = 0;  // its command's number in the sandbox, by which caught ones are known
};

// Which descriptors go with a `Listen`: those of a sandbox (`NetworkFd`), a proxy's alone, or those
// of a sandbox without a network.
enum class Sockets { kAll, kProxy, kNames };
std::size_t descriptors_of(Sockets sockets);

// Whose connections arrive on a sandbox's sockets, and where they may go.
struct Listen {
  std::uint64_t id = 0;
  Sockets sockets = Sockets::kProxy;
  std::string session;
  std::string skill;
  std::vector<CallToken> tokens;  // of the calls that use the sandbox now
  std::vector<HostRule> hosts;
  std::vector<std::string>
      deny_hosts;  // "host", "*.host", address, CIDR, each with or without ":port"
};

struct Close {
  std::uint64_t id = 0;
};

struct Admit {
  std::uint64_t id = 0;
  CallToken token;
};

struct Dismiss {
  std::uint64_t id = 0;
  std::string call;
};

using Order = std::variant<Listen, Admit, Dismiss, Close>;

struct Ready {
  unsigned uid = 0;
  int landlock = 0;  // 0: the kernel has none
};

enum class Decision { kAllow, kBlock };
enum class Phase { kOpen, kClose };

// One attempt of a sandbox to reach something.
//   blocked: one event, phase "close"; nothing was dialled.
//   allowed: an event with phase "open" that was sent before the address is dialled, and one with
//            phase "close" at the end, with the bytes. A name with several addresses gives such a
//            pair for each address that was tried.
//   allowed but unresolvable: one event, phase "close", without an address; nothing was dialled.
// Where nothing was dialled, attempts that are alike are told together (refusals.h): `count` is
// their number, `first_us` the time of the first, all other members are the first one's.
struct Connection {
  std::uint64_t id = 0;          // of the listener
  std::uint64_t connection = 0;  // joins "open" and "close"; unique within one egress process
  std::string call;              // empty: no token told, and several calls use the sandbox
  std::string session;
  std::string skill;
  // "socks5", "http"; "caught" without a proxy's protocol; "dns" for a name that was asked for,
  // which has one event, without a port. Empty when the client said nothing that was understood.
  std::string protocol;
  std::string program;  // the name of who connected or asked, printable; empty where not known
  std::string host;     // as requested, made printable; empty when no request was understood
  unsigned port = 0;    // 0 when no request was understood
  std::string address;  // the judged address, without port; empty when there is none
  Decision decision = Decision::kBlock;
  std::string reason;            // why blocked, or how it ended ("" is a clean end)
  std::string rule;              // the rule that decided, "host:port"; empty when none did
  std::uint64_t bytes_up = 0;    // from the sandbox
  std::uint64_t bytes_down = 0;  // to the sandbox
  std::uint64_t duration_us = 0;
  Phase phase = Phase::kClose;
  std::uint64_t count = 1;
  std::int64_t first_us = 0;  // microseconds since 1970
};

// Whether it is one of those that are told together.
inline bool dialled_nothing(const Connection& event) {
  return event.phase == Phase::kClose &&
         (event.decision == Decision::kBlock || event.address.empty());
}

struct Closed {
  std::uint64_t id = 0;
};

struct Failed {
  std::uint64_t id = 0;
  std::string reason;
};

using Event = std::variant<Ready, Connection, Closed, Failed>;

// Throw UserError for a token that is too short or too long, and for a rule that is none. The
// supervisor asks before it sends, the egress before it serves.
void check_listen(const Listen& listen);
void check_token(const CallToken& token);

// One packet each. The parsers throw UserError for everything that is not exactly the protocol.
std::string order_to_text(const Order& order);
Order order_from_text(std::string_view text);
std::string event_to_text(const Event& event);
Event event_from_text(std::string_view text);

}  // namespace sharkcage::egress
