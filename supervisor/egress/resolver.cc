#include "supervisor/egress/resolver.h"

#include <netdb.h>
#include <netinet/in.h>
#include <nss.h>

#include <algorithm>
#include <array>
#include <asio/post.hpp>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace sharkcage::egress {
namespace {

// Two a sandbox are asked at once (listener.h), so that one with a slow name server holds up no
// other.
constexpr std::size_t kThreads = 8;
constexpr std::size_t kMaxAddresses = 8;

Address address_of(const addrinfo& info) {
  if (info.ai_family == AF_INET6) {
    const auto* socket_address = reinterpret_cast<const sockaddr_in6*>(info.ai_addr);
    return Address::v6(std::span<const std::uint8_t, 16>(socket_address->sin6_addr.s6_addr));
  }
  const auto* socket_address = reinterpret_cast<const sockaddr_in*>(info.ai_addr);
  std::array<std::uint8_t, 4> bytes;
  std::memcpy(bytes.data(), &socket_address->sin_addr, bytes.size());
  return Address::v4(bytes);
}

Resolution ask(const std::string& name) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(name.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    const bool none = error == EAI_NONAME || error == EAI_NODATA;
    return {{}, ::gai_strerror(error), none};
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, ::freeaddrinfo);
  Resolution resolution;
  for (const addrinfo* info = list.get(); info != nullptr; info = info->ai_next) {
    if (info->ai_family != AF_INET && info->ai_family != AF_INET6) continue;
    const Address address = address_of(*info).unmapped();
    auto& addresses = resolution.addresses;
    if (std::find(addresses.begin(), addresses.end(), address) != addresses.end()) continue;
    addresses.push_back(address);
    if (addresses.size() == kMaxAddresses) break;
  }
  if (resolution.addresses.empty()) resolution.error = "no address";
  return resolution;
}

}  // namespace

void SystemResolver::prepare() {
  // resolv.conf(5): the root as the only search domain, and an end before the client gives up.
  ::setenv("LOCALDOMAIN", ".", 1);
  ::setenv("RES_OPTIONS", "timeout:3 attempts:2", 1);
  ::__nss_configure_lookup("hosts", "files dns");
}

SystemResolver::SystemResolver(asio::io_context& loop) : loop_(loop), threads_(kThreads) {}

SystemResolver::~SystemResolver() {
  threads_.stop();
  threads_.join();
}

void SystemResolver::resolve(const std::string& name, std::function<void(Resolution)> done) {
  asio::post(threads_, [this, name, done = std::move(done)]() mutable {
    asio::post(loop_, [resolution = ask(name), done = std::move(done)]() mutable {
      done(std::move(resolution));
    });
  });
}

}  // namespace sharkcage::egress
