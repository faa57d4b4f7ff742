// The link to a sandbox's deputy (capabilities/caught.h). Loop thread only.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "capabilities/caught.h"
#include "common/fd.h"
#include "supervisor/egress/services.h"
#include "supervisor/egress/shared_socket.h"

namespace sharkcage::egress {

// The number by which a deputy tells of an accepted connection; 0: it has none.
std::uint32_t mark_of(int connection);

// The program's name, printable.
std::string program_in(const Announcement& announcement);

class Link {
 public:
  // Throws UserError for what is no SOCK_SEQPACKET.
  Link(Services& services, UniqueFd socket);

  // Hears what the deputy says until `close`.
  asio::awaitable<void> run();
  void close();

  // Whether one that was announced has not come yet: it stands for its client before it does for
  // us, if the kernel is busy.
  bool awaits_connection();
  // Until the next one is announced, or `close`.
  asio::awaitable<void> next();

  // What an accepted connection with this mark is for. The deputy says it after it has connected,
  // so that it may have to be waited for, as long as for a handshake; nothing if it was not said
  // then.
  asio::awaitable<std::optional<Announcement>> announcement(std::uint32_t number);

  // Which program made an accepted connection to the proxy, printable; empty if it was not said. To
  // be asked once, when its client has spoken.
  std::string program_of(std::uint32_t number);

  // Who asks for a name, by the mark of the connection or the datagram; nothing if it was not said.
  // One can ask many times.
  std::optional<Announcement> asker(std::uint32_t number);

  // False when the deputy does not listen.
  bool tell(const NameMeaning& meaning);

 private:
  using Clock = std::chrono::steady_clock;

  // Of connections, by number. The oldest are forgotten.
  class Announcements {
   public:
    void add(const Announcement& announcement);
    std::optional<Announcement> find(std::uint32_t number) const;
    std::optional<Announcement> take(std::uint32_t number);
    // One that was not taken and may still come.
    bool any_recent();

   private:
    std::map<std::uint32_t, Announcement> known_;
    std::deque<std::pair<std::uint32_t, Clock::time_point>> order_;  // taken ones too
  };

  void hear();

  Services& services_;
  SharedSocket socket_;
  Announcements caught_;
  Announcements proxied_;
  Announcements askers_;
  std::map<std::uint32_t, asio::steady_timer*> waiting_;
  asio::steady_timer announced_one_;  // cancelled, which wakes who waits for it
  bool closed_ = false;
};

}  // namespace sharkcage::egress
