// Names to addresses. Behind an interface, because what an attacker's name server answers from one
// question to the next cannot be shown with the machine's own.
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/thread_pool.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "capabilities/addresses.h"

namespace sharkcage::egress {

struct Resolution {
  std::vector<Address> addresses;  // in the order in which they are to be tried
  std::string error;               // why there are none
  bool no_such_name = false;       // which the name servers say
};

// A wait for a resolution, which whoever waits can give up. Loop thread only.
struct Lookup {
  explicit Lookup(asio::io_context& loop) : answered(loop, asio::steady_timer::time_point::max()) {}
  void give_up() {
    given_up = true;
    answered.cancel();
  }

  asio::steady_timer answered;  // cancelled when there is a result, or nobody waits for it
  std::optional<Resolution> result;
  bool given_up = false;
};

class Resolver {
 public:
  virtual ~Resolver() = default;
  // `name` is a host name in normal form, never an address. Calls `done` exactly once, later, on
  // the loop's thread.
  virtual void resolve(const std::string& name, std::function<void(Resolution)> done) = 0;
};

// /etc/hosts and the configured name servers, through getaddrinfo(3) on threads of its own, since
// it blocks. No search domains: what was approved as a name is asked as that name. No other sources
// of nsswitch.conf(5), which would load their modules and speak to their daemons from a confined
// process.
class SystemResolver : public Resolver {
 public:
  // Sets the process's resolver up; must precede any use of it and any thread.
  static void prepare();

  explicit SystemResolver(asio::io_context& loop);
  ~SystemResolver() override;
  void resolve(const std::string& name, std::function<void(Resolution)> done) override;

 private:
  asio::io_context& loop_;
  asio::thread_pool threads_;
};

}  // namespace sharkcage::egress
