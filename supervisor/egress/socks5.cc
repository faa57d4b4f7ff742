#include "supervisor/egress/socks5.h"

namespace sharkcage::egress::socks5 {
namespace {

constexpr std::uint8_t kVersion = 5;
constexpr std::uint8_t kSocks4Version = 4;
constexpr std::uint8_t kAuthenticationVersion = 1;
constexpr std::uint8_t kUserNameMethod = 2;
constexpr std::uint8_t kNoMethod = 0xFF;

constexpr std::uint8_t kIpv4 = 1;
constexpr std::uint8_t kName = 3;
constexpr std::uint8_t kIpv6 = 4;

std::string text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string packet(std::initializer_list<std::uint8_t> bytes) {
  return text_of(Bytes(bytes.begin(), bytes.size()));
}

}  // namespace

Greeting parse_greeting(Bytes bytes) {
  Greeting greeting;
  if (bytes.empty()) return greeting;
  if (bytes[0] != kVersion) {
    greeting.status = Status::kMalformed;
    greeting.socks4 = bytes[0] == kSocks4Version;
    return greeting;
  }
  if (bytes.size() < 2) return greeting;
  const std::size_t methods = bytes[1];
  if (bytes.size() < 2 + methods) return greeting;
  for (const std::uint8_t method : bytes.subspan(2, methods)) {
    greeting.user_name = greeting.user_name || method == kUserNameMethod;
  }
  greeting.status = Status::kDone;
  greeting.size = 2 + methods;
  return greeting;
}

Authentication parse_authentication(Bytes bytes) {
  Authentication authentication;
  if (bytes.empty()) return authentication;
  if (bytes[0] != kAuthenticationVersion) {
    authentication.status = Status::kMalformed;
    return authentication;
  }
  if (bytes.size() < 2) return authentication;
  const std::size_t name = bytes[1];
  if (bytes.size() < 2 + name + 1) return authentication;
  const std::size_t password = bytes[2 + name];
  if (bytes.size() < 2 + name + 1 + password) return authentication;
  authentication.user_name = text_of(bytes.subspan(2, name));
  authentication.status = Status::kDone;
  authentication.size = 2 + name + 1 + password;
  return authentication;
}

Request parse_request(Bytes bytes) {
  Request request;
  if (bytes.size() >= 1 && bytes[0] != kVersion) request.status = Status::kMalformed;
  if (bytes.size() >= 3 && bytes[2] != 0) request.status = Status::kMalformed;
  if (request.status == Status::kMalformed || bytes.size() < 5) return request;

  const std::uint8_t type = bytes[3];
  if (type != kIpv4 && type != kName && type != kIpv6) {
    request.status = Status::kMalformed;
    request.unknown_address = true;
    return request;
  }
  const std::size_t start = type == kName ? 5 : 4;
  const std::size_t length = type == kIpv4 ? 4 : type == kIpv6 ? 16 : bytes[4];
  if (bytes.size() < start + length + 2) return request;

  const Bytes host = bytes.subspan(start, length);
  if (type == kIpv4) {
    request.address = Address::v4(host.first<4>());
  } else if (type == kIpv6) {
    request.address = Address::v6(host.first<16>());
  } else {
    request.name = text_of(host);
  }
  request.command = bytes[1];
  request.port =
      static_cast<std::uint16_t>((bytes[start + length] << 8) | bytes[start + length + 1]);
  request.status = Status::kDone;
  request.size = start + length + 2;
  return request;
}

std::string method_reply(bool acceptable) {
  return packet({kVersion, acceptable ? kUserNameMethod : kNoMethod});
}

std::string authentication_reply(bool ok) {
  return packet({kAuthenticationVersion, static_cast<std::uint8_t>(ok ? 0 : 1)});
}

std::string request_reply(Reply reply) {
  return packet({kVersion, static_cast<std::uint8_t>(reply), 0, kIpv4, 0, 0, 0, 0, 0, 0});
}

std::string socks4_refusal() {
  return packet({0, 0x5B, 0, 0, 0, 0, 0, 0});
}

}  // namespace sharkcage::egress::socks5
