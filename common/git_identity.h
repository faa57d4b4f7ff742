// Who the commits of a sandbox are from.
#pragma once

#include <string>

namespace sharkcage {

struct GitIdentity {
  std::string name;   // user.name; empty: none
  std::string email;  // user.email; empty: none
  bool operator==(const GitIdentity&) const = default;
};

}  // namespace sharkcage
