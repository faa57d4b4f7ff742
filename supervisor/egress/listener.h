// One listening socket: one sandbox, one set of rules, a token for each call that uses it.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <memory>
#include <set>

#include "supervisor/egress/attempt.h"
#include "supervisor/egress/rules.h"
#include "supervisor/egress/services.h"

namespace sharkcage::egress {

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  // Throws UserError for a socket that does not listen, and what `check_listen` throws.
  Listener(Services& services, Listen listen, UniqueFd socket);
  ~Listener();

  // Accepts until `close`, then waits for its connections' reports and sends `Closed`.
  asio::awaitable<void> run();

  // One more call, and its end, which cuts its connections.
  void admit(CallToken token);
  void dismiss(const std::string& call);

  // The tokens are worth nothing from here on. The socket itself goes on listening for its other
  // owner.
  void close();

  const Listen& listen() const { return listen_; }
  const Rules& rules() const { return rules_; }
  // Whose token this is, or empty.
  std::string call_of(const std::string& token) const;
  // The call that uses the sandbox, if it is one alone.
  std::string only_call() const;

  void add(Attempt& attempt);
  void remove(Attempt& attempt);

  // Lookups of one sandbox that are under way, and who waits for their number to fall.
  unsigned lookups = 0;
  asio::steady_timer lookup_freed;

 private:
  asio::awaitable<void> accept();
  asio::awaitable<void> wait_for_slot();

  Services& services_;
  Listen listen_;
  Rules rules_;
  asio::posix::stream_descriptor socket_;
  std::set<Attempt*> attempts_;
  bool closed_ = false;
};

}  // namespace sharkcage::egress
