#include "capabilities/destinations.h"

#include <algorithm>
#include <charconv>

#include "common/errors.h"
#include "common/text.h"

namespace sharkcage {
namespace {

constexpr std::size_t kMaxName = 253;  // RFC 1035, section 3.1, without the root's dot
constexpr std::size_t kMaxLabel = 63;

bool is_label_character(char c) {
  // The underscore is in use in host names, whatever RFC 952 says.
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool is_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxName) return false;
  while (true) {
    const std::size_t dot = std::min(name.find('.'), name.size());
    if (dot == 0 || dot > kMaxLabel) return false;
    if (!std::all_of(name.begin(), name.begin() + static_cast<std::ptrdiff_t>(dot),
                     is_label_character)) {
      return false;
    }
    if (dot == name.size()) return true;
    name.remove_prefix(dot + 1);
  }
}

// The rule of the URL standard: no top-level domain is a number, so such a text means an address.
bool ends_in_number(std::string_view name) {
  const std::string_view last = name.substr(name.rfind('.') + 1);
  if (last.find_first_not_of("0123456789") == std::string_view::npos) return true;
  return last.starts_with("0x") &&
         last.find_first_not_of("0123456789abcdef", 2) == std::string_view::npos;
}

std::string normal_form(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  std::string name(host);
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return name;
}

std::string with_port(std::string_view host, unsigned port) {
  const std::string text(host);
  if (port == 0) return text;
  const std::string number = ":" + std::to_string(port);
  return text.find(':') == std::string::npos ? text + number : "[" + text + "]" + number;
}

[[noreturn]] void refuse_rule(std::string_view rule) {
  throw UserError("the host rule \"" + printable(rule) + "\" is none",
                  "Write a name, *.name, an address or a network, with a port.");
}

}  // namespace

std::variant<Destination, NoDestination> destination_from_text(std::string_view host,
                                                               unsigned port) {
  const std::string name = normal_form(host);
  if (name.find(':') != std::string::npos || ends_in_number(name)) {
    if (const auto literal = Address::parse(name)) return destination_from_address(*literal, port);
    return NoDestination{"the host is a number in a form that programs read differently"};
  }
  if (is_name(name)) return Destination{name, std::nullopt, port};
  const bool ascii = std::all_of(name.begin(), name.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  return NoDestination{ascii ? "the host is not a name"
                             : "the host is not ASCII; ask for its form that begins with xn--"};
}

Destination destination_from_address(const Address& address, unsigned port) {
  const Address plain = address.unmapped();
  return {plain.to_string(), plain, port};
}

bool is_localhost(std::string_view host) {
  return host == "localhost" || host.ends_with(".localhost");
}

DestinationRules::DestinationRules(const std::vector<HostRule>& hosts,
                                   const std::vector<std::string>& deny_hosts) {
  for (const HostRule& host : hosts) {
    if (host.port == 0 || host.port > 65535) refuse_rule(host.host);
    Rule rule = parse(host.host, host.port);
    rule.internal = host.internal;
    allowed_.push_back(std::move(rule));
  }
  for (const std::string& text : deny_hosts) denied_.push_back(parse_denied(text));
}

DestinationRules::Match DestinationRules::match(const Destination& destination) const {
  for (const Rule& rule : denied_) {
    if (rule.port != 0 && rule.port != destination.port) continue;
    if (rule.covers_host(destination)) return {{}, "the host is denied", rule.text};
  }
  Match match;
  bool other_port = false;
  for (std::size_t i = 0; i < allowed_.size(); ++i) {
    if (!allowed_[i].covers_host(destination)) continue;
    if (allowed_[i].port == destination.port) {
      match.rules.push_back(i);
    } else {
      other_port = true;
    }
  }
  if (match.rules.empty()) {
    match.reason = other_port ? "the host is approved, but not this port" : kNotApproved;
  }
  return match;
}

DestinationRules::Match DestinationRules::match_name(const std::string& host) const {
  std::optional<Match> denied;
  for (const Rule& rule : allowed_) {
    const Destination destination{host, std::nullopt, rule.port};
    if (!rule.covers_host(destination)) continue;
    Match found = match(destination);
    if (!found.rules.empty()) return found;
    denied = std::move(found);
  }
  return denied ? *denied : match({host, std::nullopt, 0});
}

DestinationRules::Judgement DestinationRules::judge(const Match& match, const Address& address,
                                                    bool own) const {
  if (match.rules.empty()) return {false, match.reason, match.rule};
  const unsigned port = allowed_[match.rules.front()].port;
  const auto carried = address.embedded_v4();
  for (const Rule& rule : denied_) {
    if (rule.port != 0 && rule.port != port) continue;
    if (rule.covers_address(address) || (carried && rule.covers_address(*carried))) {
      return {false, "the address is denied", rule.text};
    }
  }
  const AddressKind kind = kind_of(address);
  if (kind == AddressKind::kUnspecified || kind == AddressKind::kMulticast) {
    return {false, std::string("it is ") + describe(kind), allowed_[match.rules.front()].text};
  }
  for (const std::size_t index : match.rules) {
    const Rule& rule = allowed_[index];
    const bool named = rule.network && rule.network->single();
    const bool special = kind != AddressKind::kPublic || own;
    if (special && !rule.internal) continue;
    if (kind == AddressKind::kMetadata && !named) continue;
    return {true, "", rule.text};
  }
  const char* what = kind == AddressKind::kPublic ? "this host's own address" : describe(kind);
  return {false, std::string("it is ") + what + ", which was not approved as such",
          allowed_[match.rules.front()].text};
}

bool DestinationRules::Rule::covers_host(const Destination& destination) const {
  if (destination.literal) return network && covers_address(*destination.literal);
  if (network) return false;
  if (!subdomains) return destination.host == name;
  return destination.host.size() > name.size() + 1 && destination.host.ends_with(name) &&
         destination.host[destination.host.size() - name.size() - 1] == '.';
}

bool DestinationRules::Rule::covers_address(const Address& address) const {
  return network && network->contains(address.unmapped());
}

DestinationRules::Rule DestinationRules::parse(std::string_view host, unsigned port) {
  Rule rule;
  rule.text = with_port(host, port);
  rule.port = port;
  if (const auto network = Network::parse(host)) {
    rule.network =
        network->single() ? Network::parse(network->address.unmapped().to_string()) : network;
    return rule;
  }
  rule.subdomains = host.starts_with("*.");
  rule.name = normal_form(rule.subdomains ? host.substr(2) : host);
  if (!is_name(rule.name) || ends_in_number(rule.name)) refuse_rule(rule.text);
  return rule;
}

DestinationRules::Rule DestinationRules::parse_denied(std::string_view text) {
  if (Network::parse(text)) return parse(text, 0);  // IPv6 text has colons of its own
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return parse(text, 0);
  const std::string_view digits = text.substr(colon + 1);
  unsigned port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || port == 0 || port > 65535) {
    refuse_rule(text);
  }
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return parse(host, port);
}

}  // namespace sharkcage
