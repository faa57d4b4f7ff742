#include "capabilities/addresses.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

namespace sharkcage {
namespace {

struct Special {
  const char* network;
  AddressKind kind;
};

// First match wins: the narrow ones stand before the wide ones.
constexpr Special kSpecialV4[] = {
    {"169.254.169.254/32", AddressKind::kMetadata},  // AWS, GCP, Azure and most others
    {"169.254.170.2/32", AddressKind::kMetadata},    // AWS, tasks of ECS
    {"169.254.170.23/32", AddressKind::kMetadata},   // AWS, pods of EKS
    {"168.63.129.16/32", AddressKind::kMetadata},    // Azure's wire server
    {"100.100.100.200/32", AddressKind::kMetadata},  // Alibaba
    {"192.0.0.192/32", AddressKind::kMetadata},      // Oracle
    {"0.0.0.0/8", AddressKind::kUnspecified},        {"10.0.0.0/8", AddressKind::kPrivate},
    {"100.64.0.0/10", AddressKind::kCarrierNat},     {"127.0.0.0/8", AddressKind::kLoopback},
    {"169.254.0.0/16", AddressKind::kLinkLocal},     {"172.16.0.0/12", AddressKind::kPrivate},
    {"192.0.0.0/24", AddressKind::kReserved},        {"192.0.2.0/24", AddressKind::kReserved},
    {"192.88.99.0/24", AddressKind::kReserved},      {"192.168.0.0/16", AddressKind::kPrivate},
    {"198.18.0.0/15", AddressKind::kReserved},       {"198.51.100.0/24", AddressKind::kReserved},
    {"203.0.113.0/24", AddressKind::kReserved},      {"224.0.0.0/4", AddressKind::kMulticast},
    {"255.255.255.255/32", AddressKind::kMulticast}, {"240.0.0.0/4", AddressKind::kReserved},
};

constexpr Special kSpecialV6[] = {
    {"fd00:ec2::254/128", AddressKind::kMetadata},  // AWS
    {"fd00:ec2::23/128", AddressKind::kMetadata},   // AWS, pods of EKS
    {"fd20:ce::254/128", AddressKind::kMetadata},   // GCP
    {"::/128", AddressKind::kUnspecified},
    {"::1/128", AddressKind::kLoopback},
    {"fe80::/10", AddressKind::kLinkLocal},
    {"fec0::/10", AddressKind::kPrivate},
    {"fc00::/7", AddressKind::kPrivate},
    {"ff00::/8", AddressKind::kMulticast},
    {"2001::/23", AddressKind::kReserved},      // protocol assignments, Teredo among them
    {"2001:db8::/32", AddressKind::kReserved},  // documentation
    {"3fff::/20", AddressKind::kReserved},      // documentation
    {"2000::/3", AddressKind::kPublic},         // all that is assigned as global unicast
    {"::/0", AddressKind::kReserved},
};

// Prefixes whose last four bytes are an IPv4 address.
constexpr const char* kCarriersOfLastFour[] = {
    "::ffff:0:0/96",    // mapped
    "::ffff:0:0:0/96",  // translated
    "64:ff9b::/96",     // NAT64
    "64:ff9b:1::/48",   // NAT64 of one's own, RFC 8215, in its usual form
};

using Table = std::vector<std::pair<Network, AddressKind>>;

template <std::size_t N>
Table parsed(const Special (&specials)[N]) {
  Table table;
  for (const Special& special : specials) {
    table.emplace_back(Network::parse(special.network).value(), special.kind);
  }
  return table;
}

AddressKind first_match(const Table& table, const Address& address, AddressKind otherwise) {
  for (const auto& [network, kind] : table) {
    if (network.contains(address)) return kind;
  }
  return otherwise;
}

std::optional<Address> parse_v4(std::string_view text) {
  std::array<std::uint8_t, 4> bytes{};
  for (std::size_t part = 0; part < 4; ++part) {
    if (part > 0) {
      if (text.empty() || text.front() != '.') return std::nullopt;
      text.remove_prefix(1);
    }
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0 || digits > 3 || (digits > 1 && text.front() == '0')) return std::nullopt;
    unsigned value = 0;
    std::from_chars(text.data(), text.data() + digits, value);
    if (value > 255) return std::nullopt;
    bytes[part] = static_cast<std::uint8_t>(value);
    text.remove_prefix(digits);
  }
  if (!text.empty()) return std::nullopt;
  return Address::v4(bytes);
}

}  // namespace

Address Address::v4(std::span<const std::uint8_t, 4> bytes) {
  Address address;
  std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
  return address;
}

Address Address::v6(std::span<const std::uint8_t, 16> bytes) {
  Address address;
  address.v6_ = true;
  std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
  return address;
}

std::optional<Address> Address::parse(std::string_view text) {
  if (text.find(':') == std::string_view::npos) return parse_v4(text);
  // inet_pton(3) is strict for IPv6, its IPv4 tail included, but reads until a NUL.
  if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  std::array<std::uint8_t, 16> bytes{};
  if (::inet_pton(AF_INET6, std::string(text).c_str(), bytes.data()) != 1) return std::nullopt;
  return v6(bytes);
}

std::string Address::to_string() const {
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(v6_ ? AF_INET6 : AF_INET, bytes_.data(), text, sizeof text);
  return text;
}

Address Address::unmapped() const {
  static const Network mapped = *Network::parse("::ffff:0:0/96");
  if (!mapped.contains(*this)) return *this;
  return v4(std::span(bytes_).subspan<12, 4>());
}

std::optional<Address> Address::embedded_v4() const {
  if (!v6_) return std::nullopt;
  static const Network carriers[] = {
      *Network::parse(kCarriersOfLastFour[0]), *Network::parse(kCarriersOfLastFour[1]),
      *Network::parse(kCarriersOfLastFour[2]), *Network::parse(kCarriersOfLastFour[3])};
  for (const Network& carrier : carriers) {
    if (carrier.contains(*this)) return v4(std::span(bytes_).subspan<12, 4>());
  }
  // Compatible: ::a.b.c.d, but :: and ::1 are addresses of IPv6 itself.
  static const Network compatible = *Network::parse("::/96");
  if (compatible.contains(*this) && (bytes_[12] != 0 || bytes_[13] != 0 || bytes_[14] != 0)) {
    return v4(std::span(bytes_).subspan<12, 4>());
  }
  if (bytes_[0] == 0x20 && bytes_[1] == 0x02) return v4(std::span(bytes_).subspan<2, 4>());
  static constexpr std::uint8_t kIsatap[] = {0x00, 0x5e, 0xfe};
  if ((bytes_[8] & 0xFCu) == 0 && std::equal(kIsatap, kIsatap + 3, bytes_.begin() + 9)) {
    return v4(std::span(bytes_).subspan<12, 4>());
  }
  return std::nullopt;
}

std::optional<Network> Network::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = Address::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const unsigned bits = address->is_v6() ? 128 : 32;
  if (slash == std::string_view::npos) return Network{*address, bits};
  const std::string_view digits = text.substr(slash + 1);
  unsigned prefix = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
  if (error != std::errc() || end != digits.data() + digits.size() || prefix > bits ||
      (digits.size() > 1 && digits.front() == '0')) {
    return std::nullopt;
  }
  return Network{*address, prefix};
}

bool Network::contains(const Address& candidate) const {
  if (candidate.is_v6() != address.is_v6()) return false;
  const auto a = address.bytes();
  const auto b = candidate.bytes();
  const std::size_t whole = prefix / 8;
  if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin()))
    return false;
  const unsigned rest = prefix % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xFFu << (8 - rest));
  return (a[whole] & mask) == (b[whole] & mask);
}

AddressKind kind_of(const Address& address) {
  static const Table v4 = parsed(kSpecialV4);
  static const Table v6 = parsed(kSpecialV6);
  if (const auto carried = address.embedded_v4()) {
    return first_match(v4, *carried, AddressKind::kPublic);
  }
  if (address.is_v6()) return first_match(v6, address, AddressKind::kReserved);
  return first_match(v4, address, AddressKind::kPublic);
}

const char* describe(AddressKind kind) {
  switch (kind) {
    case AddressKind::kPublic:
      return "a public address";
    case AddressKind::kUnspecified:
      return "an unspecified address";
    case AddressKind::kMulticast:
      return "a multicast or broadcast address";
    case AddressKind::kLoopback:
      return "a loopback address";
    case AddressKind::kPrivate:
      return "a private address";
    case AddressKind::kCarrierNat:
      return "a carrier's shared address";
    case AddressKind::kLinkLocal:
      return "a link-local address";
    case AddressKind::kMetadata:
      return "a cloud metadata address";
    case AddressKind::kReserved:
      return "a reserved address";
  }
  return "an address of no known kind";
}

}  // namespace sharkcage
