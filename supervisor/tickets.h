// Tickets: what `sc exec` presents instead of a command. 128 random bits, single use, 30 s.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace sharkcage {

inline constexpr std::chrono::seconds kTicketLife{30};

// What a ticket stands for. Bound when it is issued; the one who presents it adds nothing.
struct PreparedCommand {
  std::string call;  // the call it belongs to
  uid_t owner = 0;   // only a peer of this uid may present it
  std::vector<std::string> argv;
  // What is executed in its place where it is a line that needs no shell.
  std::optional<std::vector<std::string>> words;
  std::map<std::string, std::string> environment;  // as the host gives it
  std::string workdir;
  bool terminal = false;
};

// One thread. Bounded: expired tickets are dropped when a new one is issued.
class Tickets {
 public:
  static constexpr std::size_t kMaxTickets = 65536;
  using Clock = std::chrono::steady_clock;

  // Throws UserError when too many are outstanding.
  std::string issue(PreparedCommand command, Clock::time_point now);

  struct Presented {
    std::string ticket;
    uid_t peer = 0;
    std::vector<std::string> argv;  // empty: not given
    bool terminal = false;
  };
  // Takes the ticket out, whatever comes of it: a second presentation fails. Throws UserError that
  // says whether it is missing, used or unknown, late, of another user, or for another command.
  PreparedCommand redeem(const Presented& presented, Clock::time_point now);

  // Tickets of a call that was cancelled.
  void drop_call(const std::string& call);

 private:
  struct Entry {
    PreparedCommand command;
    Clock::time_point expires;
  };
  std::map<std::string, Entry> entries_;
};

}  // namespace sharkcage
