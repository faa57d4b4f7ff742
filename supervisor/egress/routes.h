// Asks the kernel whether an address is one of this host's own, public ones included.
#pragma once

#include <cstdint>

#include "capabilities/addresses.h"
#include "common/fd.h"

namespace sharkcage::egress {

class Routes {
 public:
  // Opens a routing socket (rtnetlink(7)). Throws system_error.
  Routes();

  // A packet to `address` would be delivered here or to everyone, by the kernel's routing tables.
  // True as well when the kernel does not say.
  bool own(const Address& address);

 private:
  UniqueFd socket_;
  std::uint32_t sequence_ = 0;
};

}  // namespace sharkcage::egress
