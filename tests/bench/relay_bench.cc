// Times a proxy's relay and its connection set-up beside other SOCKS5 proxies and beside none, in
// turn within one run.
//
//   relay_bench < PLAN > RESULT
//
// PLAN: {"rounds": N, "egress": PROGRAM,
//        "rows": [{"name", "kind", "every"?: N, "http"?: true,
//                  "proxy"?: {"port", "user", "password"}}]}
// kind: "transfer"  32 MiB from a server to a client, from the first byte to the last
//       "connect"   from connect(2) to the first byte that a server has echoed
// "http": by HTTP CONNECT, with the credentials in the first request; else by SOCKS5.
// Without "proxy" a row is direct; with "proxy": "sharkcage" it goes through the egress, the real
// process, which this one serves as the supervisor does: a listener with rules and a token, events
// read as they come. All of it on this host's loopback, so that nothing but the proxies differs: a
// sandbox's listener is in another network namespace, which its peers know nothing of.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "common/bytes.h"
#include "common/errors.h"
#include "common/fd.h"
#include "common/hash.h"
#include "common/json.h"
#include "supervisor/egress/egress_client.h"
#include "tests/bench/samples.h"

namespace {

using namespace sharkcage;
using Clock = std::chrono::steady_clock;
using Sample = std::map<std::string, double>;  // by phase; "" is the whole

constexpr int kWarmUpRounds = 3;
// What the end of a connection causes elsewhere is over before the next one is made.
constexpr auto kPause = std::chrono::milliseconds(2);
constexpr std::size_t kTransfer = 32u << 20;
constexpr std::size_t kBlock = 256u << 10;
constexpr char kSendMuch = 'm';  // what a client asks the server for with its first byte

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

UniqueFd tcp_socket() {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno("socket");
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return socket;
}

struct Listening {
  UniqueFd socket;
  std::uint16_t port = 0;
};

Listening listen_on_loopback() {
  Listening listening{tcp_socket(), 0};
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listening.socket.get(), generic, size) != 0 ||
      ::listen(listening.socket.get(), 128) != 0 ||
      ::getsockname(listening.socket.get(), generic, &size) != 0) {
    throw_errno("listen", "127.0.0.1");
  }
  listening.port = ntohs(address.sin_port);
  return listening;
}

void send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) throw_errno("send");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string receive(int fd, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t done = 0; done < size;) {
    const ssize_t got = ::recv(fd, bytes.data() + done, size - done, 0);
    if (got < 0) throw_errno("recv");
    if (got == 0) throw UserError("a proxy ended the connection");
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

// Where the rows lead: one connection after the other, each ended by the server.
class Destination {
 public:
  Destination() : listening_(listen_on_loopback()), thread_([this] { serve(); }) {}
  ~Destination() {
    ::shutdown(listening_.socket.get(), SHUT_RDWR);
    thread_.join();
  }
  std::uint16_t port() const { return listening_.port; }

 private:
  void serve() {
    const std::string block(kBlock, 'x');
    for (;;) {
      const UniqueFd client(::accept4(listening_.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      const int on = 1;
      ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      char asked = 0;
      if (::recv(client.get(), &asked, 1, 0) != 1) continue;
      try {
        if (asked == kSendMuch) {
          for (std::size_t sent = 0; sent < kTransfer; sent += block.size()) {
            send_all(client.get(), block);
          }
        } else {
          send_all(client.get(), {&asked, 1});
        }
      } catch (const std::system_error& error) {
        std::cerr << "relay_bench: the server: " << error.what() << "\n";
      }
    }
  }

  Listening listening_;
  std::thread thread_;
};

struct Proxy {
  std::uint16_t port = 0;
  std::string user;
  std::string password;
};

// The egress, and a thread that hears what it says.
class Egress {
 public:
  Egress(const std::string& program, std::uint16_t destination) : client_(program) {
    Listening listening = listen_on_loopback();
    proxy_ = {listening.port, random_hex(16), "x"};
    client_.start();
    egress::Listen listen;
    listen.session = "bench";
    listen.skill = "bench";
    listen.tokens = {{"call", proxy_.user, 1}};
    listen.hosts = {{"127.0.0.1", destination, true}};
    std::vector<UniqueFd> sockets;
    sockets.push_back(std::move(listening.socket));
    client_.listen(std::move(listen), std::move(sockets));
    std::tie(stop_read_, stop_write_) = make_pipe();
    thread_ = std::thread([this] { hear(); });
  }
  ~Egress() {
    stop_write_.reset();
    thread_.join();
  }
  const Proxy& proxy() const { return proxy_; }

 private:
  void hear() {
    while (client_.running()) {
      pollfd waits[] = {{client_.fd(), POLLIN, 0}, {stop_read_.get(), POLLIN, 0}};
      ::poll(waits, 2, -1);
      if (waits[1].revents != 0) return;
      client_.on_readable();
    }
    std::cerr << "relay_bench: the egress ended: " << client_.ended() << "\n";
  }

  egress::EgressClient client_;
  Proxy proxy_;
  UniqueFd stop_read_;
  UniqueFd stop_write_;
  std::thread thread_;
};

// RFC 1928 and 1929, each message after the answer to the one before, as common clients do.
void shake_hands(int fd, const Proxy& proxy, std::uint16_t port, Sample& sample) {
  auto start = Clock::now();
  const auto phase = [&](const char* name) {
    sample[name] = microseconds_since(start);
    start = Clock::now();
  };
  send_all(fd, {"\x05\x01\x02", 3});
  if (receive(fd, 2) != std::string("\x05\x02", 2)) throw UserError("a proxy takes no user name");
  phase("greeting");
  const auto counted = [](const std::string& text) {
    return static_cast<char>(text.size()) + text;
  };
  send_all(fd, '\x01' + counted(proxy.user) + counted(proxy.password));
  if (receive(fd, 2)[1] != 0) throw UserError("a proxy refuses the password");
  phase("authentication");
  std::string request("\x05\x01\x00\x01\x7f\x00\x00\x01", 8);
  request += static_cast<char>(port >> 8);
  request += static_cast<char>(port & 0xFF);
  send_all(fd, request);
  const std::string reply = receive(fd, 10);
  if (reply[1] != 0) throw UserError("a proxy refuses: " + std::to_string(int{reply[1]}));
  phase("request");
}

// RFC 9110, 9.3.6: all in one message and one answer.
void ask_for_tunnel(int fd, const Proxy& proxy, std::uint16_t port, Sample& sample) {
  const auto start = Clock::now();
  const std::string target = "127.0.0.1:" + std::to_string(port);
  send_all(fd, "CONNECT " + target + " HTTP/1.1\r\nHost: " + target +
                   "\r\nProxy-Authorization: Basic " +
                   base64_encode(proxy.user + ':' + proxy.password) + "\r\n\r\n");
  std::string head;
  while (!head.ends_with("\r\n\r\n")) {
    char block[4096];  // nothing follows the head before this side speaks
    const ssize_t got = ::recv(fd, block, sizeof block, 0);
    if (got <= 0) throw UserError("a proxy ended the connection");
    head.append(block, static_cast<std::size_t>(got));
  }
  if (!head.starts_with("HTTP/1.1 200")) throw UserError("a proxy refuses: " + head);
  sample["request"] = microseconds_since(start);
}

class Bench {
 public:
  explicit Bench(Json plan)
      : plan_(std::move(plan)),
        egress_(plan_.at("egress").get<std::string>(), destination_.port()) {}

  Json run() {
    const auto& rows = plan_.at("rows");
    std::vector<bench::Samples> samples(rows.size());
    const int rounds = plan_.at("rounds").get<int>();
    bench::in_rounds(rows, rounds, kWarmUpRounds, [&](std::size_t index, bool counts) {
      const Sample sample = measure(rows[index]);
      std::this_thread::sleep_for(kPause);
      if (!counts) return;
      for (const auto& [phase, value] : sample) samples[index][phase].push_back(value);
    });
    Json out = Json::array();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out.push_back(bench::summary(rows[i].at("name"), samples[i]));
    }
    return out;
  }

 private:
  std::optional<Proxy> proxy_of(const Json& row) const {
    if (!row.contains("proxy")) return std::nullopt;
    const Json& proxy = row.at("proxy");
    if (proxy == "sharkcage") return egress_.proxy();
    return Proxy{proxy.at("port").get<std::uint16_t>(), proxy.at("user").get<std::string>(),
                 proxy.at("password").get<std::string>()};
  }

  Sample measure(const Json& row) {
    const auto proxy = proxy_of(row);
    const bool transfers = row.at("kind") == "transfer";
    Sample sample;
    auto start = Clock::now();
    const UniqueFd client = tcp_socket();
    const sockaddr_in address = loopback(proxy ? proxy->port : destination_.port());
    if (::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw_errno("connect", row.at("name").get<std::string>());
    }
    sample["connect"] = microseconds_since(start);
    if (proxy && row.value("http", false)) {
      ask_for_tunnel(client.get(), *proxy, destination_.port(), sample);
    } else if (proxy) {
      shake_hands(client.get(), *proxy, destination_.port(), sample);
    }
    const auto connected = Clock::now();
    if (transfers) {
      sample = {};
      start = connected;
    }
    const char asked = transfers ? kSendMuch : 'e';
    send_all(client.get(), {&asked, 1});
    if (transfers) {
      take(client.get(), kTransfer);
    } else {
      receive(client.get(), 1);
      sample["first byte"] = microseconds_since(connected);
    }
    sample[""] = microseconds_since(start);
    // What the proxy does at the end of a connection is not in the way of the next sample.
    char end = 0;
    if (::recv(client.get(), &end, 1, 0) != 0) throw UserError("more bytes than were asked for");
    return sample;
  }

  void take(int fd, std::size_t size) {
    for (std::size_t done = 0; done < size;) {
      const ssize_t got = ::recv(fd, block_.data(), block_.size(), 0);
      if (got < 0) throw_errno("recv");
      if (got == 0) throw UserError("a proxy ended a transfer");
      done += static_cast<std::size_t>(got);
    }
  }

  Json plan_;
  Destination destination_;
  Egress egress_;
  std::string block_ = std::string(kBlock, '\0');
};

}  // namespace

int main() {
  try {
    const std::string plan{std::istreambuf_iterator<char>(std::cin), {}};
    std::cout << Bench(parse_json(plan, "the plan")).run().dump(2) << "\n";
    return 0;
  } catch (const UserError& error) {
    std::cerr << "relay_bench: " << error.full() << "\n";
  } catch (const std::exception& error) {
    std::cerr << "relay_bench: " << error.what() << "\n";
  }
  return 1;
}
