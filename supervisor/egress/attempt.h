// One connection of a sandbox, from its acceptance to its end.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "supervisor/egress/handshake.h"
#include "supervisor/egress/services.h"

namespace sharkcage::egress {

class Listener;

// By which socket of a sandbox it came.
enum class Entrance { kProxy, kCaught };

class Attempt : public std::enable_shared_from_this<Attempt> {
 public:
  Attempt(Services& services, std::shared_ptr<Listener> listener, Entrance entrance,
          UniqueFd client);
  ~Attempt();

  // The whole story. Reports every outcome but one: a client that left without a word.
  asio::awaitable<void> run();

  // Ends it soon; `run` still reports how it ended.
  void cut(std::string reason);

  // Whose token it showed; empty before.
  const std::string& call() const { return call_; }

 private:
  asio::awaitable<Handshake> shake();
  asio::awaitable<void> refuse(Refused refused);
  asio::awaitable<void> serve(Requested requested);
  asio::awaitable<void> connect(const Destination& destination, const std::string& early);
  asio::awaitable<Resolution> resolve(const Destination& destination);
  asio::awaitable<int> dial(const Address& address, unsigned port);
  asio::awaitable<void> carry(std::string early);
  void watch_idleness();
  asio::awaitable<void> block(std::string reason, std::string rule, socks5::Reply outcome);
  std::string asked() const;
  asio::awaitable<void> fail(int error);
  asio::awaitable<void> part(std::string reply);
  asio::awaitable<void> report(Decision decision, Phase phase, std::string reason);

  Services& services_;
  std::shared_ptr<Listener> listener_;
  Stream client_;
  std::optional<Stream> upstream_;
  Deadline deadline_;
  std::shared_ptr<Lookup> lookup_;  // while one is under way
  std::chrono::steady_clock::time_point accepted_;
  std::chrono::steady_clock::time_point progress_;
  Traffic traffic_;
  std::string cut_reason_;
  // What the reports say, as far as it is known.
  const Entrance entrance_;
  std::uint64_t number_ = 0;
  std::optional<Protocol> protocol_;
  std::string call_;
  std::string program_;
  std::string host_;
  unsigned port_ = 0;
  std::string address_;
  std::string rule_;
};

}  // namespace sharkcage::egress
