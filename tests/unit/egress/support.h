// For the egress's tests: sandboxes' network namespaces, servers to reach, clients that speak byte
// by byte, and the supervisor's view of what happened.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/fd.h"
#include "supervisor/egress/egress_client.h"

namespace sharkcage::egress::testing {

inline constexpr std::chrono::seconds kPatience{10};

inline const std::string kToken = "0123456789abcdef0123456789abcdef";
inline const std::string kOtherToken = "fedcba9876543210fedcba9876543210";

// A listening TCP socket on 127.0.0.1 (or ::1) and a free port.
struct Listening {
  UniqueFd socket;
  std::uint16_t port = 0;
};
Listening listen_on(const std::string& address = "127.0.0.1", std::uint16_t port = 0);

// Accepts one connection, or nothing after a while.
UniqueFd accept_one(int listener);

// The next connection that a server reports; an empty one, and a failure, when none comes.
Connection receive_connection(int control);

UniqueFd connect_to(const std::string& address, std::uint16_t port);

// Blocking with a time limit. `read_some`: "" at end of file or error; `read_exactly` and
// `read_all`: what came before the end.
void write_text(int fd, std::string_view text);
std::string read_exactly(int fd, std::size_t size);
std::string read_all(int fd);
// The connection ended, in order or by reset.
bool has_ended(int fd);

// A server that answers every connection by `serve` on a thread of its own until destroyed.
class TestServer {
 public:
  explicit TestServer(std::function<void(int)> serve, const std::string& address = "127.0.0.1")
      : TestServer(std::move(serve), listen_on(address)) {}
  TestServer(std::function<void(int)> serve, Listening listening);
  ~TestServer();
  std::uint16_t port() const { return listening_.port; }
  int connections() const { return connections_; }

 private:
  Listening listening_;
  std::atomic<int> connections_{0};
  UniqueFd stop_read_;
  UniqueFd stop_write_;
  std::thread thread_;
};
void echo(int fd);

// Another network namespace, as root or in a user namespace, held by a process of its own.
class Namespace {
 public:
  // Nothing where this user may not make one; `why_not` says why.
  static std::optional<Namespace> make();
  Namespace(Namespace&&) noexcept;
  ~Namespace();
  // Runs `body` inside, in a child; returns its result (0 … 255), 256 and more for a signal.
  int run(const std::function<int()>& body) const;
  // A listening socket on 127.0.0.1:18800 inside.
  UniqueFd listen_inside() const;
  Listening listen_inside_at(const std::string& address) const;
  // A socket made inside and connected there.
  UniqueFd connect_inside(const std::string& address, std::uint16_t port) const;
  pid_t pid() const { return pid_; }

 private:
  explicit Namespace(pid_t pid, UniqueFd hold) : pid_(pid), hold_(std::move(hold)) {}
  UniqueFd socket_from_inside(const std::function<UniqueFd()>& make) const;
  pid_t pid_ = -1;
  UniqueFd hold_;
};

// The real process, driven as the supervisor drives it.
class Supervised {
 public:
  Supervised();
  EgressClient client;
  std::vector<Event> events;  // everything so far

  std::uint64_t listen(UniqueFd socket, std::vector<HostRule> hosts,
                       std::vector<std::string> deny = {}, const std::string& token = kToken);
  // Reads what has arrived: the egress waits for a supervisor that does not.
  void pump();
  // Reads events until `wanted` holds; fails the test when it does not in time.
  bool wait_until(const std::function<bool()>& wanted);
  // The n-th connection event, from 0, waiting for it.
  Connection connection(std::size_t n);
  bool wait_for_closed(std::uint64_t id);
};

std::string greeting();
std::string authentication(std::string_view token);
std::string request(std::string_view name, std::uint16_t port, char command = 1);
std::string request_v4(const std::string& address, std::uint16_t port);
std::string request_v6(const std::string& address, std::uint16_t port);

// The whole handshake on a connected socket: the reply code, or -1 when the connection ended
// before.
int ask(int fd, std::string_view request, std::string_view token = kToken);

}  // namespace sharkcage::egress::testing
