// Connections of programs that know no proxy: judged by the policy, connected to the egress's
// listener inside, and announced to it (capabilities/caught.h). The egress judges again.
#pragma once

#include <netinet/in.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "capabilities/caught.h"
#include "capabilities/destinations.h"
#include "common/fd.h"
#include "supervisor/sandbox/answer.h"
#include "supervisor/sandbox/notify.h"
#include "supervisor/sandbox/task.h"

namespace sharkcage::sandbox {

// What an address that a command gave stands for.
struct Meaning {
  enum class Kind {
    kInside,    // loopback: the sandbox's own
    kApproved,  // `host` and `port` are what the connection is for
    kRefused,
    kNobody,  // the caught listener itself, where no command connects
  };
  Kind kind = Kind::kInside;
  std::string host;  // a name or an address in normal form
  unsigned port = 0;
  bool named = false;  // the address stands for a name
};

class Catcher {
 public:
  // `network`: whether the sandbox has one; else nothing is approved. `link`: to the egress. Throws
  // UserError for a rule that is none.
  Catcher(const Policy& policy, bool network, UniqueFd link);

  bool network() const { return network_; }
  // Readable when the egress has said something; -1: there is none.
  int link() const { return link_.get(); }
  void hear_egress();

  // Of an Internet address. Reads what the egress has said before.
  Meaning meaning(const Address& address, unsigned port);

  // Connects a TCP socket of a command to the egress's listener inside, for `meaning`. A command
  // that waits goes on when the connection stands; to another it is under way. While the egress is
  // too busy for one more, either waits. `domain`: the socket's; `address`: as the command gave it.
  Answer connect(const Notification& call, const Task& task, UniqueFd socket, int domain,
                 const Address& address, const Meaning& meaning);

  // Takes back what `connect` did.
  void give_up();
  // Says what `connect` did, once the command has its answer: it need not wait for the egress to
  // wake.
  void announce();

  // What `call` does next with this socket has its mark. False with errno.
  static bool mark(const Notification& call, int socket);
  // Says who uses a marked socket of a command to speak to one of the egress's, before it does: a
  // record tells it. `port`: where on the loopback interface it goes.
  void tell_user(const Notification& call, const Task& task, int socket, bool stream,
                 unsigned port);

 private:
  // Not yet announced. Its socket is held meanwhile, to be disconnected if that fails.
  struct Made {
    Announcement connection;
    UniqueFd socket;
  };

  using Clock = std::chrono::steady_clock;

  // What a command gets as long as the egress takes no more connections.
  Answer wait(bool blocks);
  bool is_approved(const Destination& destination) const;
  Announcement describe(const Notification& call, const Task& task, NetworkFd to);
  bool can_announce() const;
  bool tell_egress(const Announcement& announcement) const;

  const bool network_;
  const DestinationRules rules_;
  UniqueFd link_;
  std::map<std::uint32_t, std::string> names_;
  std::deque<std::uint32_t> oldest_;  // of `names_`
  SeenKeeper keeper_;
  std::optional<Made> made_;
  std::optional<Clock::time_point> busy_since_;
};

}  // namespace sharkcage::sandbox
