// The link to a sandbox's deputy (capabilities/caught.h). Loop thread only.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "capabilities/caught.h"
#include "common/fd.h"
#include "supervisor/egress/services.h"
#include "supervisor/egress/shared_socket.h"

namespace sharkcage::egress {

// The program's name, printable.
std::string program_in(const Announcement& announcement);

class Link {
 public:
  // Throws UserError for what is no SOCK_SEQPACKET.
  Link(Services& services, UniqueFd socket);

  // Hears what the deputy says until `close`.
  asio::awaitable<void> run();
  void close();

  // A connection to the caught listener has come.
  void accepted(int connection);
  // Whether one that was announced has not come yet: it stands for its client before it does for
  // us, if the kernel is busy.
  bool awaits_connection();
  // Until the next one is announced, or `close`.
  asio::awaitable<void> next();

  // What an accepted connection is for. The deputy says it after it has connected, so that it may
  // have to be waited for, as long as for a handshake; nothing if it was not said then, or if the
  // connection was reset before. To be asked of each connection in the order of their acceptance.
  asio::awaitable<std::optional<Announcement>> announcement(int connection);

  // Which program made an accepted connection to the proxy, printable; empty if it was not said. To
  // be asked once, when its client has spoken.
  std::string program_of(int connection);

  // Who uses a socket that asks for names, from this address to kNamesFd or kNamesStreamFd; nothing
  // if it was not said.
  std::optional<Announcement> asker(const sockaddr* from, socklen_t size, NetworkFd to);

  // False when the deputy does not listen.
  bool tell(const NameMeaning& meaning);

 private:
  // Address, port, and to which NetworkFd.
  using Source = std::tuple<std::array<std::uint8_t, 16>, std::uint16_t, std::uint8_t>;
  using Clock = std::chrono::steady_clock;
  struct Announced {
    Announcement announcement;  // the last one
    Clock::time_point until;    // not worth anything later
    unsigned times = 0;
    unsigned accepted = 0;
  };

  static std::optional<Source> source_of(int connection, NetworkFd to);
  static std::optional<Source> source_at(const sockaddr* raw, socklen_t size, NetworkFd to);
  // What is said is good `until` then.
  void hear(Clock::time_point until);
  std::optional<Announcement> take(const Source& source);
  void drop(const Source& source);

  Services& services_;
  SharedSocket socket_;
  // A source is one connection at a time: what was said last of it is true of the one that is
  // there, and what was said before of connections that were reset. Each of them is accepted, so
  // that nothing is left over for another one.
  std::map<Source, Announced> announced_;
  // Of sockets that ask for names: one can ask many times.
  std::map<Source, Announcement> askers_;
  std::map<Source, asio::steady_timer*> waiting_;
  asio::steady_timer announced_one_;  // cancelled, which wakes who waits for it
  bool closed_ = false;
};

}  // namespace sharkcage::egress
