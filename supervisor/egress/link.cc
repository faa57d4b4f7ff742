#include "supervisor/egress/link.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>

#include "common/errors.h"
#include "common/text.h"
#include "supervisor/egress/stream.h"

namespace sharkcage::egress {
namespace {

// No more connections than fit into a backlog wait to be accepted. Who announces more is no deputy
// of ours.
constexpr std::size_t kManyAnnounced = 4096;

// Where it came from, whether or not it is there still. The kernel takes no larger size than that
// of the socket's family.
std::optional<std::pair<Address, unsigned>> source_of(int connection) {
  sockaddr_storage peer{};
  auto* raw = reinterpret_cast<sockaddr*>(&peer);
  for (socklen_t size : {socklen_t{sizeof(sockaddr_in6)}, socklen_t{sizeof(sockaddr_in)}}) {
    if (::getsockopt(connection, SOL_SOCKET, SO_PEERNAME, raw, &size) == 0) {
      return internet_address(raw, size);
    }
  }
  return std::nullopt;
}

}  // namespace

std::string program_in(const CaughtConnection& connection) {
  const auto& name = connection.program;
  return printable(std::string(name.data(), ::strnlen(name.data(), name.size())));
}

Link::Link(Services& services, UniqueFd socket) : services_(services), socket_(services.loop) {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      type != SOCK_SEQPACKET) {
    throw UserError("egress: the descriptor is no link to a deputy");
  }
  socket_.assign(socket.get());
  socket.release();
  // Of an egress before this one: some may be of connections that it had accepted.
  hear(Clock::now() + services.limits.handshake);
}

// As listener.cc says: the supervisor holds the same open file.
Link::~Link() {
  if (socket_.is_open()) ::close(socket_.release());
}

asio::awaitable<void> Link::run() {
  while (!closed_ && socket_.is_open()) {
    asio::error_code ignored;
    co_await socket_.async_wait(asio::posix::descriptor_base::wait_read,
                                asio::redirect_error(asio::use_awaitable, ignored));
    hear(Clock::time_point::max());
  }
}

void Link::close() {
  closed_ = true;
  if (socket_.is_open()) ::close(socket_.release());
  for (const auto& [source, timer] : waiting_) timer->cancel();
}

void Link::hear(Clock::time_point until) {
  while (socket_.is_open()) {
    CaughtConnection connection;
    const ssize_t size =
        ::recv(socket_.native_handle(), &connection, sizeof connection, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size != sizeof connection) {
      // The sandbox has ended, or its deputy is not ours.
      ::close(socket_.release());
      return;
    }
    if (announced_.size() >= kManyAnnounced) announced_.clear();
    const Source source(connection.source, connection.source_port, connection.host[0] == 0);
    Announced& announced = announced_[source];
    announced = {connection, until, announced.times + 1};
    const auto waiting = waiting_.find(source);
    if (waiting != waiting_.end()) waiting->second->cancel();
  }
}

std::optional<CaughtConnection> Link::take(const Source& source) {
  const auto found = announced_.find(source);
  if (found == announced_.end()) return std::nullopt;
  const Announced announced = found->second;
  announced_.erase(found);
  if (announced.until < Clock::now()) return std::nullopt;
  return announced.connection;
}

void Link::drop(const Source& source) {
  const auto found = announced_.find(source);
  if (found != announced_.end() && --found->second.times == 0) announced_.erase(found);
}

asio::awaitable<std::optional<CaughtConnection>> Link::announcement(int connection) {
  const auto from = source_of(connection);
  if (!from) co_return std::nullopt;
  const Source source(to_v6_bytes(from->first), static_cast<std::uint16_t>(from->second), false);
  hear(Clock::time_point::max());
  if (!is_connected(connection)) {
    drop(source);
    co_return std::nullopt;
  }
  std::optional<CaughtConnection> found = take(source);
  if (found || closed_ || waiting_.contains(source)) co_return found;
  asio::steady_timer timer(services_.loop, services_.limits.handshake);
  waiting_[source] = &timer;
  asio::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  waiting_.erase(source);
  co_return take(source);
}

std::string Link::program_of(int connection) {
  const auto from = source_of(connection);
  if (!from) return {};
  hear(Clock::time_point::max());
  const auto told =
      take(Source(to_v6_bytes(from->first), static_cast<std::uint16_t>(from->second), true));
  return told ? program_in(*told) : std::string();
}

bool Link::tell(const NameMeaning& meaning) {
  return socket_.is_open() && ::send(socket_.native_handle(), &meaning, sizeof meaning,
                                     MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof meaning;
}

}  // namespace sharkcage::egress
