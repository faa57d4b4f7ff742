// One sandbox: the sockets on which it is heard, one set of rules, a token for each call that uses
// it.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "capabilities/destinations.h"
#include "supervisor/egress/attempt.h"
#include "supervisor/egress/link.h"
#include "supervisor/egress/name_server.h"
#include "supervisor/egress/name_table.h"
#include "supervisor/egress/reports.h"
#include "supervisor/egress/services.h"
#include "supervisor/egress/shared_socket.h"

namespace sharkcage::egress {

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  // `sockets`: see `EgressClient::listen`. Throws UserError for others, and what `check_listen`
  // throws.
  Listener(Services& services, Listen listen, std::vector<UniqueFd> sockets);

  // Serves until `close`, then waits for its connections' reports and sends `Closed`.
  asio::awaitable<void> run();

  // One more call, and its end, which cuts its connections.
  void admit(CallToken token);
  void dismiss(const std::string& call);

  // The tokens are worth nothing from here on. The sockets themselves go on listening for their
  // other owner.
  void close();

  const Listen& listen() const { return listen_; }
  const DestinationRules& rules() const { return rules_; }
  // Whose token this is, or empty.
  std::string call_of(const std::string& token) const;
  // The call that uses the sandbox, if it is one alone.
  std::string only_call() const;

  Reports& reports() { return reports_; }

  void add(Attempt& attempt);
  void remove(Attempt& attempt);

  // Which program made a connection to the proxy, as `Link::program_of`.
  std::string program_of(Stream& client) {
    return link_ ? link_->program_of(mark_of(client.fd())) : std::string();
  }
  // What a caught connection is for.
  asio::awaitable<Handshake> announced(Stream& client);

  // The addresses of a name in normal form; asked of the name servers once, with the limits of this
  // sandbox. `lookup` may be given up meanwhile.
  asio::awaitable<Resolution> look_up(const std::string& name, std::shared_ptr<Lookup> lookup);
  // What was found when the sandbox asked for it, if that was lately.
  std::optional<Resolution> found_lately(const std::string& name) const;

 private:
  // Caught connections when they are announced: they are made by somebody who must not wait for
  // this process to wake.
  asio::awaitable<void> accept(SharedSocket& socket, Entrance entrance);
  bool has_slot() const;
  asio::awaitable<void> wait_for_slot();
  asio::awaitable<NameAnswer> answer_name(dns::Question question, NameClient from);
  void describe_asker(const NameClient& from, Connection& event);
  bool is_other_half(const dns::Question& question);
  asio::awaitable<Resolution> find_addresses(std::string name);
  std::string call_of_command(std::uint64_t command) const;
  void serve_names(UniqueFd udp, UniqueFd tcp);
  void spawn(asio::awaitable<void> work);

  Services& services_;
  Listen listen_;
  DestinationRules rules_;
  SharedSocket proxy_;
  SharedSocket caught_;
  std::optional<Link> link_;
  std::shared_ptr<NameServer> name_server_;
  NameTable names_;
  std::set<std::string> being_found_;
  struct RefusedName {
    std::string name;
    std::uint16_t type = 0;
    std::chrono::steady_clock::time_point when;
  } refused_;  // the last one
  std::set<Attempt*> attempts_;
  Reports reports_;
  std::set<std::shared_ptr<Lookup>> lookups_;  // under way
  asio::steady_timer lookup_freed_;            // cancelled when one of them has ended
  std::size_t running_ = 0;                    // coroutines besides `run`
  bool closed_ = false;
};

}  // namespace sharkcage::egress
