// Host patterns as people write them in manifests and in the configuration.
//
//   name            "wttr.in", "wttr.in:443"
//   names below     "*.example.com" (any depth; example.com itself is not one of them)
//   IPv4            "192.0.2.7", "192.0.2.7:8080"
//   IPv6            "2001:db8::1", "[2001:db8::1]:8080"
//   network         "100.64.0.0/10", "100.64.0.0/10:22", "2001:db8::/32", "[2001:db8::/32]:22"
//
// A name may be international ("bücher.example"); its normal form is the ASCII one.
//
// Parsing only: which address a name resolves to, and whether it may be dialled, the egress judges.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "capabilities/policy.h"

namespace sharkcage {

struct HostPattern {
  enum class Kind { kName, kNamesBelow, kAddress, kNetwork };

  Kind kind = Kind::kName;
  // Normal form without the port, as in `HostRule::host`: lower case, no trailing dot, no brackets;
  // "*.name" for kNamesBelow; addresses as inet_ntop(3) prints them, IPv4-mapped ones as IPv4;
  // networks with the host bits zero.
  std::string host;
  std::optional<unsigned> port;  // 1 … 65535

  // As people write it: "host", "host:port", "[v6]:port".
  std::string text() const;
  bool operator==(const HostPattern&) const = default;
};

// The ports that a pattern without one stands for.
inline constexpr unsigned kDefaultPorts[] = {80, 443};

// Throws UserError naming `field`: not a pattern, an international name without an ASCII form, a
// number that only some resolvers take for an address (decimal, octal, hexadecimal, short),
// a zone, a network with host bits set, a port out of range.
HostPattern parse_host(std::string_view text, const std::string& field);

// Whether the pattern names something on this machine or in a local network: loopback, private,
// shared, link-local and unique-local addresses, localhost, names without a dot, and names below
// local, localhost, internal, lan, home.arpa. A name that only resolves to such an address is not
// known here.
bool is_internal(const HostPattern& pattern);

// One rule a port; without a port one for each of `kDefaultPorts`.
std::vector<HostRule> host_rules(const HostPattern& pattern, bool internal);

// Remarks on a whole scope that is valid but may not be what was meant, e.g. that "*.example.com"
// does not match example.com where only the first is there.
std::vector<std::string> host_hints(const std::vector<HostPattern>& scope);

// Remarks on what is usual and rarely a mistake: "example.com" without "*.example.com".
std::vector<std::string> host_notes(const std::vector<HostPattern>& scope);

}  // namespace sharkcage
