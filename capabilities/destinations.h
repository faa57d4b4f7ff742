// Where a sandbox may go: the requested destination against the policy's rules, then each resolved
// address against what it stands for. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "capabilities/addresses.h"
#include "capabilities/policy.h"

namespace sharkcage {

// What a client asked for, in normal form.
struct Destination {
  std::string host;                // lower case, no trailing dot; a literal in the form of RFC 5952
  std::optional<Address> literal;  // the host is an address, IPv4-mapped ones unmapped
  unsigned port = 0;
};

// Why a requested host is none: a sentence's beginning for the audit log.
struct NoDestination {
  std::string reason;
};

// A host that was given as text. A dotted quad and IPv6 text are literals. Everything else that
// ends in a number ("2130706433", "0177.0.0.1", "127.1", "0x7f.1") is refused: programs disagree on
// what it is.
std::variant<Destination, NoDestination> destination_from_text(std::string_view host,
                                                               unsigned port);
Destination destination_from_address(const Address& address, unsigned port);

// "localhost" and names below it never leave the host (RFC 6761, section 6.3).
bool is_localhost(std::string_view host);

// Immutable once made.
class DestinationRules {
 public:
  // Throws UserError that names the first rule which is none: an approval with it must not be
  // served.
  DestinationRules(const std::vector<HostRule>& hosts, const std::vector<std::string>& deny_hosts);

  // Why what no rule covers is refused.
  static constexpr std::string_view kNotApproved = "the host is not approved";

  // The rules that a destination falls under, or why it is refused.
  struct Match {
    std::vector<std::size_t> rules;  // empty: refused
    std::string reason;              // when refused
    std::string rule;                // the denying rule, when one refused it
  };
  // A name is matched by name only and a literal by address only: an approved network says nothing
  // about names, so that nothing unapproved is ever asked of a name server.
  Match match(const Destination& destination) const;

  // May a name be asked for? It may if it is approved with some port.
  Match match_name(const std::string& host) const;

  struct Judgement {
    bool allowed = false;
    std::string reason;  // when refused
    std::string rule;    // the rule that decided
  };
  // May `address`, which `destination` is or resolved to, be dialled? `own`: it belongs to this
  // host. Denied addresses are refused; others than public ones need a rule with `internal`, a
  // metadata address one that names that single address; an unspecified or multicast one is refused
  // always.
  Judgement judge(const Match& match, const Address& address, bool own) const;

  // A rule of `Match::rules` as text, "host:port".
  const std::string& text(std::size_t rule) const { return allowed_[rule].text; }

 private:
  struct Rule {
    std::string text;                // "host:port"
    std::string name;                // without "*."
    bool subdomains = false;         // "*.name": below it, never the name itself
    std::optional<Network> network;  // instead of a name
    unsigned port = 0;               // 0: any, in a denying rule
    bool internal = false;

    bool covers_host(const Destination& destination) const;
    bool covers_address(const Address& address) const;
  };

  static Rule parse(std::string_view host, unsigned port);
  static Rule parse_denied(std::string_view text);

  std::vector<Rule> allowed_;
  std::vector<Rule> denied_;
};

}  // namespace sharkcage
