// Requested hosts, rules and the patterns that rules come from: a normal form is its own normal
// form, whatever a rule without `internal` lets pass is a public address, and a pattern that may be
// approved makes rules that cover what it says and nothing beside it.

#include <cstdlib>
#include <string>
#include <variant>

#include "capabilities/destinations.h"
#include "capabilities/hosts.h"
#include "common/errors.h"

namespace {

using namespace sharkcage;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_destination(const std::string& text) {
  const auto result = destination_from_text(text, 443);
  const auto* destination = std::get_if<Destination>(&result);
  if (destination == nullptr) return;
  const auto again = destination_from_text(destination->host, 443);
  require(std::holds_alternative<Destination>(again));
  require(std::get<Destination>(again).host == destination->host);
  require(std::get<Destination>(again).literal == destination->literal);
}

void check_rule(const std::string& rule, const std::string& host) {
  try {
    const DestinationRules rules({{rule, 443, false}}, {});
    const auto wanted = destination_from_text(host, 443);
    if (!std::holds_alternative<Destination>(wanted)) return;
    const auto& destination = std::get<Destination>(wanted);
    const auto match = rules.match(destination);
    if (match.rules.empty() || !destination.literal) return;
    const auto judgement = rules.judge(match, *destination.literal, false);
    require(!judgement.allowed || kind_of(*destination.literal) == AddressKind::kPublic);
    require(!rules.judge(match, *destination.literal, true).allowed);
  } catch (const sharkcage::UserError&) {
    // A text that is no rule.
  }
}

void check_denied(const std::string& rule) {
  try {
    DestinationRules({}, {rule});
  } catch (const sharkcage::UserError&) {
  }
}

bool covers(const DestinationRules& rules, const std::string& host, unsigned port) {
  const auto wanted = destination_from_text(host, port);
  return std::holds_alternative<Destination>(wanted) &&
         !rules.match(std::get<Destination>(wanted)).rules.empty();
}

void check_pattern(const HostPattern& pattern) {
  using Kind = HostPattern::Kind;
  require(parse_host(pattern.text(), "scope") == pattern);
  const DestinationRules rules(host_rules(pattern, false), {});
  const unsigned port = pattern.port.value_or(443);
  const unsigned other_port = port == 22 ? 23 : 22;
  require(!covers(rules, "elsewhere.invalid", port) || pattern.host.ends_with("invalid"));
  if (pattern.kind == Kind::kName || pattern.kind == Kind::kAddress) {
    require(covers(rules, pattern.host, port));
    require(!covers(rules, pattern.host, other_port));
  } else if (pattern.kind == Kind::kNamesBelow) {
    const std::string name = pattern.host.substr(2);
    // As far as a name below it is not too long for one.
    require(covers(rules, "a." + name, port) == (name.size() + 2 <= 253));
    require(!covers(rules, name, port));
    require(!covers(rules, "a" + name, port));
  }
  if (pattern.kind == Kind::kAddress && is_internal(pattern)) {
    require(kind_of(*Address::parse(pattern.host)) != AddressKind::kPublic);
  }
  // What can be allowed can be denied.
  const DestinationRules denied(host_rules(pattern, true), {pattern.text()});
  if (pattern.kind != Kind::kNetwork) require(!covers(denied, pattern.host, port));
}

void check_text(const std::string& text) {
  HostPattern pattern;
  try {
    pattern = parse_host(text, "scope");
  } catch (const UserError&) {
    return;
  }
  check_pattern(pattern);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1024) return 0;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::size_t line = text.find('\n');
  const std::string rule = text.substr(0, line);
  const std::string host = line == std::string::npos ? rule : text.substr(line + 1);
  check_destination(host);
  check_rule(rule, host);
  check_denied(rule);
  check_text(rule);
  return 0;
}
