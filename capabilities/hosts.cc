#include "capabilities/hosts.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "capabilities/idn.h"
#include "common/bytes.h"
#include "common/errors.h"
#include "common/text.h"

namespace sharkcage {
namespace {

constexpr std::size_t kMaxName = 253;  // RFC 1035, 2.3.4, without the root's dot
constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kMaxPattern = 300;

[[noreturn]] void refuse(const std::string& field, std::string_view text, const std::string& why,
                         const std::string& remedy) {
  throw UserError(field + ": \"" + printable(text.substr(0, kMaxPattern)) + "\" " + why, remedy);
}

constexpr const char* kShapes =
    "Write a host such as \"example.com\", \"example.com:443\", \"*.example.com\", "
    "\"192.0.2.7:80\", "
    "\"[2001:db8::1]:80\" or a network such as \"100.64.0.0/10\".";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Sixteen bytes for either family; IPv4 as its mapped form.
struct Address {
  bool v4 = false;
  std::array<unsigned char, 16> bytes{};
};

constexpr std::array<unsigned char, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

std::optional<Address> parse_address(const std::string& text) {
  Address address;
  if (::inet_pton(AF_INET6, text.c_str(), address.bytes.data()) == 1) {
    address.v4 = std::equal(kMapped.begin(), kMapped.end(), address.bytes.begin());
    return address;
  }
  // inet_pton(3) takes four decimal numbers without leading zeros and nothing else.
  if (::inet_pton(AF_INET, text.c_str(), address.bytes.data() + 12) == 1) {
    std::copy(kMapped.begin(), kMapped.end(), address.bytes.begin());
    address.v4 = true;
    return address;
  }
  return std::nullopt;
}

std::string print_address(const Address& address) {
  char text[INET6_ADDRSTRLEN];
  const void* bytes = address.bytes.data() + (address.v4 ? 12 : 0);
  return ::inet_ntop(address.v4 ? AF_INET : AF_INET6, bytes, text, sizeof text);
}

// Whether the first `bits` bits of both are the same.
bool same_prefix(const unsigned char* a, const unsigned char* b, unsigned bits) {
  if (std::memcmp(a, b, bits / 8) != 0) return false;
  const unsigned rest = bits % 8;
  if (rest == 0) return true;
  return ((a[bits / 8] ^ b[bits / 8]) >> (8 - rest)) == 0;
}

struct Network {
  const char* address;
  unsigned bits;
};

// Loopback, private (RFC 1918), shared (RFC 6598), link-local with the metadata services, this
// host, unique-local.
constexpr Network kInternal[] = {{"127.0.0.0", 8},    {"10.0.0.0", 8},    {"172.16.0.0", 12},
                                 {"192.168.0.0", 16}, {"100.64.0.0", 10}, {"169.254.0.0", 16},
                                 {"0.0.0.0", 8},      {"::1", 128},       {"::", 128},
                                 {"fe80::", 10},      {"fc00::", 7}};

bool is_internal_address(const Address& address, unsigned prefix) {
  return std::any_of(std::begin(kInternal), std::end(kInternal), [&](const Network& network) {
    const auto base = parse_address(network.address);
    const unsigned offset = base->v4 ? 96 : 0;
    return address.v4 == base->v4 && prefix >= network.bits + offset &&
           same_prefix(address.bytes.data(), base->bytes.data(), network.bits + offset);
  });
}

// The bits of a network's prefix, counted in the sixteen bytes.
unsigned prefix_of(const HostPattern& pattern, const Address& address) {
  const std::size_t slash = pattern.host.find('/');
  if (slash == std::string::npos) return 128;
  unsigned bits = 0;
  std::from_chars(pattern.host.data() + slash + 1, pattern.host.data() + pattern.host.size(), bits);
  return bits + (address.v4 ? 96 : 0);
}

// A last label that some resolver could read as a number makes the whole an address there: "127.1",
// "0x7f000001", "2130706433", "0177.0.0.1" (WHATWG URL, "ends in a number").
bool looks_numeric(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  const std::string_view last = dot == std::string_view::npos ? name : name.substr(dot + 1);
  return all_digits(last) || (last.size() >= 2 && last[0] == '0' && (last[1] | 0x20) == 'x');
}

void check_label(std::string_view label, std::string_view text, const std::string& field) {
  if (label.empty()) refuse(field, text, "has an empty part between dots", kShapes);
  if (label.size() > kMaxLabel)
    refuse(field, text, "has a part longer than 63 characters", kShapes);
  if (label.front() == '-' || label.back() == '-') {
    refuse(field, text, "has a part that begins or ends with a hyphen", kShapes);
  }
  for (const char c : label) {
    const bool known = (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
    if (!known) refuse(field, text, "is not a host pattern", kShapes);
  }
}

void check_name(std::string_view name, std::string_view text, const std::string& field) {
  if (name.size() > kMaxName) refuse(field, text, "is longer than a host name can be", kShapes);
  for (std::size_t start = 0;;) {
    const std::size_t dot = name.find('.', start);
    check_label(name.substr(start, dot == std::string_view::npos ? dot : dot - start), text, field);
    if (dot == std::string_view::npos) return;
    start = dot + 1;
  }
}

unsigned parse_port(std::string_view digits, std::string_view text, const std::string& field) {
  unsigned port = 0;
  const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  const bool whole = end.ec == std::errc{} && end.ptr == digits.data() + digits.size();
  if (!all_digits(digits) || !whole || port < 1 || port > 65535 || digits.front() == '0') {
    refuse(field, text, "has no port between 1 and 65535 after its colon", kShapes);
  }
  return port;
}

// "host", "host:port", "[v6]", "[v6]:port" and bare "v6" into host and port.
struct Split {
  std::string host;
  std::optional<unsigned> port;
  bool bracketed = false;
};

Split split_port(std::string_view text, const std::string& field) {
  Split split;
  if (text.front() == '[') {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) refuse(field, text, "has no closing bracket", kShapes);
    split.bracketed = true;
    split.host = text.substr(1, close - 1);
    const std::string_view rest = text.substr(close + 1);
    if (rest.empty()) return split;
    if (rest.front() != ':') refuse(field, text, "is not a host pattern", kShapes);
    split.port = parse_port(rest.substr(1), text, field);
    return split;
  }
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.find(':', colon + 1) != std::string_view::npos) {
    split.host = text;  // no colon, or an IPv6 address without brackets
    return split;
  }
  split.host = text.substr(0, colon);
  split.port = parse_port(text.substr(colon + 1), text, field);
  return split;
}

// "address/bits" in normal form.
std::string parse_network(const std::string& host, std::size_t slash, std::string_view text,
                          const std::string& field, bool& v6) {
  auto address = parse_address(host.substr(0, slash));
  const std::string digits = host.substr(slash + 1);
  if (!address)
    refuse(field, text, "is not a network: no address stands before the slash", kShapes);
  const unsigned width = address->v4 ? 32 : 128;
  unsigned bits = 0;
  if (!all_digits(digits) || digits.size() > 3 || (digits.size() > 1 && digits.front() == '0') ||
      (bits = static_cast<unsigned>(std::stoul(digits))) > width) {
    refuse(field, text, "has no prefix length between 0 and " + std::to_string(width), kShapes);
  }
  if (bits == 0) {
    refuse(field, text, "is every address there is", "Name the hosts or networks that are needed.");
  }
  Address base = *address;
  for (unsigned bit = bits + (128 - width); bit < 128; ++bit) {
    base.bytes[bit / 8] = static_cast<unsigned char>(base.bytes[bit / 8] & ~(0x80u >> (bit % 8)));
  }
  const std::string normal = print_address(base) + "/" + std::to_string(bits);
  if (base.bytes != address->bytes) {
    refuse(field, text, "has bits set beyond its prefix", "Did you mean \"" + normal + "\"?");
  }
  v6 = !address->v4;
  return normal;
}

void check_text(std::string_view text, const std::string& field) {
  if (text.empty()) throw UserError(field + ": the host is empty", kShapes);
  if (text.size() > kMaxPattern) refuse(field, text, "is too long", kShapes);
  if (text.find('\0') != std::string_view::npos || !is_utf8(text)) {
    refuse(field, text, "is not a host pattern", kShapes);
  }
  if (text.find("://") != std::string_view::npos) {
    refuse(field, text, "is a URL", "Write the host alone, with a port if need be.");
  }
  if (text.find('%') != std::string_view::npos) {
    refuse(field, text, "is not a host pattern: zones and escapes have no place in it", kShapes);
  }
}

// In the form that name servers know, in which also whoever approves it sees it: letters of other
// scripts look like those that one expects.
std::string ascii_form(const std::string& name, std::string_view text, const std::string& field) {
  const bool ascii = std::all_of(name.begin(), name.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (ascii) return name;
  std::string why;
  if (auto converted = ascii_name(name, why)) return *converted;
  refuse(field, text, "is not a name: " + why,
         "Write it in its ASCII form, which begins with \"xn--\".");
}

// A name or "*.name".
void parse_name(HostPattern& pattern, const std::string& host, std::string_view text,
                const std::string& field) {
  if (host == "*" || host == "*.") {
    refuse(field, text, "is every host there is", "Name the hosts that are needed.");
  }
  const bool below = host.starts_with("*.");
  std::string name = ascii_form(host.substr(below ? 2 : 0), text, field);
  if (name.size() > 1 && name.back() == '.') name.pop_back();
  if (name.find('*') != std::string::npos) {
    refuse(field, text, "has a * elsewhere than as its whole first part", kShapes);
  }
  if (looks_numeric(name)) {
    refuse(field, text, "is a number that only some programs take for an address",
           "Write an IPv4 address as four decimal numbers, such as \"192.0.2.7\".");
  }
  check_name(name, text, field);
  pattern.kind = below ? HostPattern::Kind::kNamesBelow : HostPattern::Kind::kName;
  pattern.host = below ? "*." + name : name;
}

}  // namespace

HostPattern parse_host(std::string_view text, const std::string& field) {
  check_text(text, field);
  Split split = split_port(text, field);
  HostPattern pattern;
  pattern.port = split.port;
  std::string host = lower(split.host);

  if (const std::size_t slash = host.find('/'); slash != std::string::npos) {
    bool v6 = false;
    pattern.kind = HostPattern::Kind::kNetwork;
    pattern.host = parse_network(host, slash, text, field, v6);
    if (split.bracketed && !v6)
      refuse(field, text, "has brackets around what is not IPv6", kShapes);
    return pattern;
  }
  const bool v6_text = host.find(':') != std::string::npos;
  if (split.bracketed && !v6_text) {
    refuse(field, text, "has brackets around what is not IPv6", kShapes);
  }
  if (const auto address = parse_address(host)) {
    pattern.kind = HostPattern::Kind::kAddress;
    pattern.host = print_address(*address);
    return pattern;
  }
  parse_name(pattern, host, text, field);
  return pattern;
}

std::string HostPattern::text() const {
  if (!port) return host;
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(*port);
}

bool is_internal(const HostPattern& pattern) {
  using Kind = HostPattern::Kind;
  if (pattern.kind == Kind::kAddress || pattern.kind == Kind::kNetwork) {
    const auto address = parse_address(pattern.host.substr(0, pattern.host.find('/')));
    return address && is_internal_address(*address, prefix_of(pattern, *address));
  }
  const bool below = pattern.kind == Kind::kNamesBelow;
  const std::string_view name = std::string_view(pattern.host).substr(below ? 2 : 0);
  const std::size_t dot = name.rfind('.');
  const std::string_view last = dot == std::string_view::npos ? name : name.substr(dot + 1);
  for (const std::string_view known : {"localhost", "local", "internal", "lan"}) {
    if (last == known) return true;
  }
  if (name == "home.arpa" || name.ends_with(".home.arpa")) return true;  // RFC 8375
  return dot == std::string_view::npos && !below;
}

std::vector<HostRule> host_rules(const HostPattern& pattern, bool internal) {
  if (pattern.port) return {{pattern.host, *pattern.port, internal}};
  std::vector<HostRule> rules;
  for (const unsigned port : kDefaultPorts) rules.push_back({pattern.host, port, internal});
  return rules;
}

namespace {

// A wildcard and the name itself, at a port of both.
bool shares_port(const HostPattern& a, const HostPattern& b) {
  const auto has = [](const HostPattern& pattern, unsigned port) {
    if (pattern.port) return *pattern.port == port;
    return std::find(std::begin(kDefaultPorts), std::end(kDefaultPorts), port) !=
           std::end(kDefaultPorts);
  };
  if (a.port) return has(b, *a.port);
  return std::any_of(std::begin(kDefaultPorts), std::end(kDefaultPorts),
                     [&](unsigned port) { return has(b, port); });
}

bool names_also(const std::vector<HostPattern>& scope, const HostPattern& pattern,
                const std::string& host) {
  return std::any_of(scope.begin(), scope.end(), [&](const HostPattern& other) {
    return other.host == host && shares_port(pattern, other);
  });
}

// What people think of as a whole site: "example.com", "example.co.uk"; not "api.example.com".
bool is_site(const HostPattern& pattern) {
  if (pattern.kind != HostPattern::Kind::kName || is_internal(pattern)) return false;
  const auto dots = std::count(pattern.host.begin(), pattern.host.end(), '.');
  if (dots != 2) return dots == 1;
  const std::size_t last = pattern.host.rfind('.');
  const std::size_t second = pattern.host.rfind('.', last - 1);
  return pattern.host.size() - last - 1 == 2 && last - second - 1 <= 3;
}

}  // namespace

std::vector<std::string> host_hints(const std::vector<HostPattern>& scope) {
  std::vector<std::string> hints;
  for (const HostPattern& pattern : scope) {
    if (pattern.kind != HostPattern::Kind::kNamesBelow) continue;
    const std::string name = pattern.host.substr(2);
    if (names_also(scope, pattern, name)) continue;
    hints.push_back("\"" + pattern.host + "\" does not match " + name + " itself; add \"" + name +
                    "\" if it is needed");
  }
  return hints;
}

std::vector<std::string> host_notes(const std::vector<HostPattern>& scope) {
  std::vector<std::string> notes;
  for (const HostPattern& pattern : scope) {
    const std::string below = "*." + pattern.host;
    if (!is_site(pattern) || names_also(scope, pattern, below)) continue;
    notes.push_back("\"" + pattern.host + "\" does not match names below it, such as www." +
                    pattern.host + "; add \"" + below + "\" if they are needed");
  }
  return notes;
}

}  // namespace sharkcage
