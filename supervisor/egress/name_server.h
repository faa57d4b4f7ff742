// The name server of one sandbox: questions over UDP and TCP, each answered by whoever knows what
// this sandbox may reach. Asks nobody itself. Loop thread only.
#pragma once

#include <sys/socket.h>

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "common/fd.h"
#include "supervisor/egress/dns.h"
#include "supervisor/egress/services.h"
#include "supervisor/egress/shared_socket.h"
#include "supervisor/egress/stream.h"

namespace sharkcage::egress {

// What a question gets: see `dns::respond`, and for a refusal `dns::refusal_for`.
struct NameAnswer {
  dns::Rcode rcode = dns::Rcode::kRefused;
  std::optional<Address> address;
  std::string prohibited;
};

// Where a question came from.
struct NameClient {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  std::uint32_t number = 0;  // Link::asker
};

// Called for each question that is one (`problem` is `kNoError`), at once. Must come to an end by
// itself: `NameServer::run` waits for it. What it throws ends the process.
using AnswerName = std::function<asio::awaitable<NameAnswer>(dns::Question, NameClient)>;

class NameServer : public std::enable_shared_from_this<NameServer> {
 public:
  // `udp`: a bound socket; `tcp`: a listening one, or none. Throws UserError for others.
  NameServer(Services& services, UniqueFd udp, UniqueFd tcp, AnswerName answer);

  // Serves until `close`, and returns when no question is under way any more. `answer` is given up
  // then, with what it holds.
  asio::awaitable<void> run();

  // Cuts every connection; answers under way are not sent. The sockets themselves stay as they are
  // for their other owner.
  void close();

 private:
  asio::awaitable<void> serve_datagrams();
  asio::awaitable<void> serve_datagram(dns::Question question, NameClient from);
  asio::awaitable<void> accept();
  asio::awaitable<void> serve_connection(std::unique_ptr<Stream> client, NameClient from);
  asio::awaitable<std::string> response_to(dns::Question question, const NameClient& from);
  // Until there is room for one more question, one more connection, or it is closed.
  asio::awaitable<void> wait_for_room();
  asio::awaitable<void> wait_for_slot();
  void spawn(asio::awaitable<void> work);

  Services& services_;
  AnswerName answer_;
  SharedSocket udp_;
  SharedSocket tcp_;
  std::set<Stream*> connections_;
  std::size_t questions_ = 0;   // being answered
  std::size_t running_ = 0;     // coroutines besides `run`
  asio::steady_timer changed_;  // cancelled, which wakes all who wait, when one of the three falls
  bool closed_ = false;
};

}  // namespace sharkcage::egress
