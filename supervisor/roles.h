// Roles: what a peer may ask for (docs/protocol.md, "Peers and roles").
#pragma once

#include "common/config.h"
#include "common/peer.h"

namespace sharkcage {

struct Roles {
  bool host = false;
  bool operator_ = false;
  bool none() const { return !host && !operator_; }
};

// User install (`privileged` false): the supervisor's own uid has both. Privileged: root has both,
// others by the configuration's users and groups, looked up in the user database.
// A peer from other namespaces has none.
Roles roles_of(const Peer& peer, const Config& config, bool privileged);

// Those that the user database does not know now.
Peers unknown_of(const Peers& peers);

}  // namespace sharkcage
