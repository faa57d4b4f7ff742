// IP addresses: strict parsing, networks, and what an address stands for. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sharkcage {

class Address {
 public:
  static Address v4(std::span<const std::uint8_t, 4> bytes);
  static Address v6(std::span<const std::uint8_t, 16> bytes);

  // Exactly four decimal numbers without leading zeros, or an IPv6 address of RFC 4291,
  // section 2.2. Nothing that inet_aton(3) would guess at (octal, hexadecimal, fewer parts), no
  // zone, no brackets.
  static std::optional<Address> parse(std::string_view text);

  bool is_v6() const { return v6_; }
  std::span<const std::uint8_t> bytes() const { return {bytes_.data(), v6_ ? 16u : 4u}; }
  // The form of RFC 5952.
  std::string to_string() const;

  // ::ffff:a.b.c.d is a.b.c.d written differently: the kernel connects to it over IPv4.
  Address unmapped() const;

  // The IPv4 address that an IPv6 address carries and that some router on the way unpacks: mapped
  // and compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052), 6to4 (RFC 3056), ISATAP
  // (RFC 5214).
  std::optional<Address> embedded_v4() const;

  bool operator==(const Address&) const = default;

 private:
  bool v6_ = false;
  std::array<std::uint8_t, 16> bytes_{};  // an IPv4 address uses the first four
};

// A block of addresses, "10.0.0.0/8". Bits beyond the prefix are ignored.
struct Network {
  Address address;
  unsigned prefix = 0;

  // An address alone is a network of its own. Nothing for anything else than address[/prefix].
  static std::optional<Network> parse(std::string_view text);
  bool contains(const Address& candidate) const;
  bool single() const { return prefix == (address.is_v6() ? 128u : 32u); }
};

// What an address stands for, by the special-purpose registries of IANA (RFC 6890) and by what
// clouds answer on. `kPublic` is the only kind that needs no rule of its own.
enum class AddressKind {
  kPublic,
  kUnspecified,  // 0.0.0.0/8, ::
  kMulticast,    // and broadcast
  kLoopback,
  kPrivate,     // also site-local and unique local
  kCarrierNat,  // 100.64.0.0/10
  kLinkLocal,
  kMetadata,  // a cloud's metadata service: hands out credentials to whoever asks
  kReserved,  // documentation, benchmarking, tunnels, future use
};

// The kind of `address`, or of the IPv4 address that it carries.
AddressKind kind_of(const Address& address);

// For people: "a loopback address".
const char* describe(AddressKind kind);

}  // namespace sharkcage
