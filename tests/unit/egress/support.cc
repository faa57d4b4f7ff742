#include "support.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/errors.h"

namespace sharkcage::egress::testing {
namespace {

constexpr std::uint16_t kProxyPort = 18800;

int milliseconds(std::chrono::steady_clock::duration time) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
}

bool wait_readable(int fd) {
  pollfd wait{fd, POLLIN, 0};
  return ::poll(&wait, 1, milliseconds(kPatience)) > 0;
}

std::pair<sockaddr_storage, socklen_t> socket_address(const std::string& text, std::uint16_t port) {
  sockaddr_storage storage{};
  if (text.find(':') == std::string::npos) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    ::inet_pton(AF_INET, text.c_str(), &v4.sin_addr);
    return {storage, sizeof v4};
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  ::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr);
  return {storage, sizeof v6};
}

bool write_file(const std::string& path, const std::string& text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

bool bring_up_loopback() {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0;
}

// In the child that becomes the namespace's holder.
bool become_namespace() {
  const uid_t uid = ::getuid();
  const gid_t gid = ::getgid();
  if (uid == 0) return ::unshare(CLONE_NEWNET) == 0 && bring_up_loopback();
  return ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 &&
         write_file("/proc/self/setgroups", "deny") &&
         write_file("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1") &&
         write_file("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1") && bring_up_loopback();
}

bool enter(pid_t pid, const char* kind) {
  const std::string path = "/proc/" + std::to_string(pid) + "/ns/" + kind;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return fd && ::setns(fd.get(), 0) == 0;
}

}  // namespace

Listening listen_on(const std::string& address, std::uint16_t port) {
  auto [where, size] = socket_address(address, port);
  UniqueFd socket(::socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&where), size) != 0)
    throw_errno("bind", address);
  if (::listen(socket.get(), 1024) != 0) throw_errno("listen");
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&where), &size) != 0) {
    throw_errno("getsockname");
  }
  return {std::move(socket), ntohs(reinterpret_cast<sockaddr_in&>(where).sin_port)};
}

Connection receive_connection(int control) {
  while (wait_readable(control)) {
    std::string packet(kMaxMessage, '\0');
    std::vector<UniqueFd> fds;
    const ssize_t size = recv_with_fds(control, packet.data(), packet.size(), fds);
    if (size <= 0) break;
    const Event event = event_from_text({packet.data(), static_cast<std::size_t>(size)});
    if (const auto* connection = std::get_if<Connection>(&event)) return *connection;
  }
  ADD_FAILURE() << "no event came";
  return {};
}

UniqueFd accept_one(int listener) {
  if (!wait_readable(listener)) return UniqueFd();
  return UniqueFd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
}

UniqueFd connect_to(const std::string& address, std::uint16_t port) {
  const auto [where, size] = socket_address(address, port);
  UniqueFd socket(::socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&where), size) != 0) {
    throw_errno("connect", address);
  }
  return socket;
}

void write_text(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string read_exactly(int fd, std::size_t size) {
  std::string text(size, '\0');
  std::size_t done = 0;
  while (done < size && wait_readable(fd)) {
    const ssize_t got = ::recv(fd, text.data() + done, size - done, 0);
    if (got <= 0) break;
    done += static_cast<std::size_t>(got);
  }
  text.resize(done);
  return text;
}

std::string read_all(int fd) {
  std::string text;
  char block[65536];
  while (wait_readable(fd)) {
    const ssize_t got = ::recv(fd, block, sizeof block, 0);
    if (got <= 0) break;
    text.append(block, static_cast<std::size_t>(got));
  }
  return text;
}

bool has_ended(int fd) {
  char byte;
  return wait_readable(fd) && ::recv(fd, &byte, 1, 0) <= 0;
}

TestServer::TestServer(std::function<void(int)> serve, Listening listening)
    : listening_(std::move(listening)) {
  std::tie(stop_read_, stop_write_) = make_pipe();
  thread_ = std::thread([this, serve = std::move(serve)] {
    std::vector<std::thread> workers;
    for (;;) {
      pollfd waits[] = {{listening_.socket.get(), POLLIN, 0}, {stop_read_.get(), POLLIN, 0}};
      ::poll(waits, 2, -1);
      if (waits[1].revents != 0) break;
      UniqueFd client(::accept4(listening_.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) continue;
      ++connections_;
      workers.emplace_back([serve, fd = std::move(client)] { serve(fd.get()); });
    }
    for (std::thread& worker : workers) worker.join();
  });
}

TestServer::~TestServer() {
  stop_write_.reset();
  thread_.join();
}

void echo(int fd) {
  char block[65536];
  for (;;) {
    const ssize_t got = ::recv(fd, block, sizeof block, 0);
    if (got <= 0) return;
    write_text(fd, {block, static_cast<std::size_t>(got)});
  }
}

std::optional<Namespace> Namespace::make() {
  auto [ready_read, ready_write] = make_pipe();
  auto [hold_read, hold_write] = make_pipe();
  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("fork");
  if (pid == 0) {
    hold_write.reset();
    const char answer = become_namespace() ? 'y' : 'n';
    if (::write(ready_write.get(), &answer, 1) != 1) ::_exit(1);
    char end;
    while (::read(hold_read.get(), &end, 1) > 0) {
    }
    ::_exit(0);
  }
  ready_write.reset();
  Namespace made(pid, std::move(hold_write));
  char answer = 'n';
  if (::read(ready_read.get(), &answer, 1) != 1 || answer != 'y') return std::nullopt;
  return made;
}

Namespace::Namespace(Namespace&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), hold_(std::move(other.hold_)) {}

Namespace::~Namespace() {
  if (pid_ < 0) return;
  // Other children may hold a copy of the pipe's end.
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

int Namespace::run(const std::function<int()>& body) const {
  const pid_t child = ::fork();
  if (child < 0) throw_errno("fork");
  if (child == 0) {
    const bool inside = (::getuid() == 0 || enter(pid_, "user")) && enter(pid_, "net");
    ::_exit(inside ? body() : 255);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

UniqueFd Namespace::socket_from_inside(const std::function<UniqueFd()>& make_socket) const {
  auto [here, there] = make_socketpair(SOCK_STREAM);
  const int result = run([&there = there, &make_socket]() -> int {
    try {
      const UniqueFd socket = make_socket();
      const int fd = socket.get();
      return send_with_fds(there.get(), "s", std::span(&fd, 1)) == 1 ? 0 : 1;
    } catch (const std::exception&) {
      return 2;
    }
  });
  if (result != 0) throw std::runtime_error("no socket from inside: " + std::to_string(result));
  char byte;
  std::vector<UniqueFd> fds;
  recv_with_fds(here.get(), &byte, 1, fds);
  return std::move(fds.at(0));
}

UniqueFd Namespace::listen_inside() const {
  return socket_from_inside([] { return listen_on("127.0.0.1", kProxyPort).socket; });
}

Listening Namespace::listen_inside_at(const std::string& address) const {
  UniqueFd socket = socket_from_inside([&] { return listen_on(address).socket; });
  sockaddr_in where{};
  socklen_t size = sizeof where;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&where), &size);
  return {std::move(socket), ntohs(where.sin_port)};
}

UniqueFd Namespace::connect_inside(const std::string& address, std::uint16_t port) const {
  return socket_from_inside([&] { return connect_to(address, port); });
}

Supervised::Supervised() : client(SHARKCAGE_EGRESS) {
  client.start();
}

std::uint64_t Supervised::listen(UniqueFd socket, std::vector<HostRule> hosts,
                                 std::vector<std::string> deny, const std::string& token) {
  Listen listen;
  listen.session = "session-1";
  listen.skill = "weather";
  listen.tokens = {{"call-1", token, 1}};
  listen.hosts = std::move(hosts);
  listen.deny_hosts = std::move(deny);
  std::vector<UniqueFd> sockets;
  sockets.push_back(std::move(socket));
  return client.listen(std::move(listen), std::move(sockets));
}

void Supervised::pump() {
  for (Event& event : client.on_readable()) events.push_back(std::move(event));
}

bool Supervised::wait_until(const std::function<bool()>& wanted) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!wanted()) {
    const auto left = end - std::chrono::steady_clock::now();
    if (left <= left.zero() || !client.running()) return false;
    pollfd wait{client.fd(), static_cast<short>(POLLIN | (client.wants_write() ? POLLOUT : 0)), 0};
    ::poll(&wait, 1, milliseconds(left));
    if ((wait.revents & POLLOUT) != 0) client.on_writable();
    pump();
  }
  return true;
}

Connection Supervised::connection(std::size_t n) {
  const auto find = [&]() -> const Connection* {
    std::size_t seen = 0;
    for (const Event& event : events) {
      const auto* connection = std::get_if<Connection>(&event);
      if (connection != nullptr && seen++ == n) return connection;
    }
    return nullptr;
  };
  EXPECT_TRUE(wait_until([&] { return find() != nullptr; })) << "no event " << n << " came";
  const Connection* found = find();
  return found != nullptr ? *found : Connection{};
}

bool Supervised::wait_for_closed(std::uint64_t id) {
  return wait_until([&] {
    for (const Event& event : events) {
      const auto* closed = std::get_if<Closed>(&event);
      if (closed != nullptr && closed->id == id) return true;
    }
    return false;
  });
}

std::string greeting() {
  return {"\x05\x01\x02", 3};
}

std::string authentication(std::string_view token) {
  return std::string("\x01") + static_cast<char>(token.size()) + std::string(token) +
         std::string("\x01x", 2);
}

namespace {
std::string with_port(std::string bytes, std::uint16_t port) {
  return bytes + static_cast<char>(port >> 8) + static_cast<char>(port & 0xFF);
}
}  // namespace

std::string request(std::string_view name, std::uint16_t port, char command) {
  std::string bytes{5, command, 0, 3, static_cast<char>(name.size())};
  return with_port(bytes + std::string(name), port);
}

std::string request_v4(const std::string& address, std::uint16_t port) {
  std::string bytes{5, 1, 0, 1, 0, 0, 0, 0};
  ::inet_pton(AF_INET, address.c_str(), bytes.data() + 4);
  return with_port(bytes, port);
}

std::string request_v6(const std::string& address, std::uint16_t port) {
  std::string bytes = std::string{5, 1, 0, 4} + std::string(16, '\0');
  ::inet_pton(AF_INET6, address.c_str(), bytes.data() + 4);
  return with_port(bytes, port);
}

int ask(int fd, std::string_view wanted, std::string_view token) {
  write_text(fd, greeting());
  if (read_exactly(fd, 2) != std::string("\x05\x02", 2)) return -1;
  write_text(fd, authentication(token));
  if (read_exactly(fd, 2) != std::string("\x01\x00", 2)) return -1;
  write_text(fd, wanted);
  const std::string reply = read_exactly(fd, 10);
  return reply.size() == 10 ? static_cast<unsigned char>(reply[1]) : -1;
}

}  // namespace sharkcage::egress::testing
