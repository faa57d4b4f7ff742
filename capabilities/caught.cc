#include "capabilities/caught.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <stdexcept>

namespace sharkcage {
namespace {

constexpr std::array<std::uint8_t, 2> kV4Network = {198, 18};  // /15: and 198.19
constexpr std::array<std::uint8_t, 13> kV6Network = {0xfd, 0x6b, 0xc3, 0x8e, 0x52, 0xd7};

}  // namespace

Address synthetic_v4(std::uint32_t number) {
  return Address::v4(std::array<std::uint8_t, 4>{
      kV4Network[0], static_cast<std::uint8_t>(kV4Network[1] + (number >> 16)),
      static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)});
}

Address synthetic_v6(std::uint32_t number) {
  std::array<std::uint8_t, 16> bytes{};
  std::copy(kV6Network.begin(), kV6Network.end(), bytes.begin());
  bytes[13] = static_cast<std::uint8_t>(number >> 16);
  bytes[14] = static_cast<std::uint8_t>(number >> 8);
  bytes[15] = static_cast<std::uint8_t>(number);
  return Address::v6(bytes);
}

std::optional<std::uint32_t> number_of(const Address& address) {
  const auto bytes = address.bytes();
  if (!address.is_v6()) {
    if (bytes[0] != kV4Network[0] || (bytes[1] & 0xfe) != kV4Network[1]) return std::nullopt;
    return std::uint32_t{bytes[1] & 1u} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
  }
  if (!std::equal(kV6Network.begin(), kV6Network.end(), bytes.begin()) || bytes[13] > 1) {
    return std::nullopt;
  }
  return std::uint32_t{bytes[13]} << 16 | std::uint32_t{bytes[14]} << 8 | bytes[15];
}

std::optional<std::pair<Address, unsigned>> internet_address(const sockaddr* raw, socklen_t size) {
  if (size >= sizeof(sockaddr_in) && raw->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, raw, sizeof v4);
    std::array<std::uint8_t, 4> bytes;
    std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
    return std::pair(Address::v4(bytes), unsigned{ntohs(v4.sin_port)});
  }
  // The zone of a link-local address may be left out (ipv6(7)).
  constexpr std::size_t kLeast = offsetof(sockaddr_in6, sin6_scope_id);
  if (size >= kLeast && raw->sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, raw, std::min<std::size_t>(size, sizeof v6));
    const Address address =
        Address::v6(std::span<const std::uint8_t, 16>(v6.sin6_addr.s6_addr)).unmapped();
    return std::pair(address, unsigned{ntohs(v6.sin6_port)});
  }
  return std::nullopt;
}

HostField to_host_field(std::string_view host) {
  HostField field{};
  if (host.size() >= field.size()) throw std::length_error("a host of more than 255 characters");
  std::copy(host.begin(), host.end(), field.begin());
  return field;
}

std::string from_host_field(const HostField& field) {
  return std::string(field.data(), ::strnlen(field.data(), field.size()));
}

}  // namespace sharkcage
