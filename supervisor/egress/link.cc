#include "supervisor/egress/link.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
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
constexpr std::size_t kManyAskers = 1024;

}  // namespace

// Whether or not the other end is there still. The kernel takes no larger size than that of the
// socket's family.
std::optional<Link::Source> Link::source_of(int connection, NetworkFd to) {
  sockaddr_storage peer{};
  auto* raw = reinterpret_cast<sockaddr*>(&peer);
  for (socklen_t size : {socklen_t{sizeof(sockaddr_in6)}, socklen_t{sizeof(sockaddr_in)}}) {
    if (::getsockopt(connection, SOL_SOCKET, SO_PEERNAME, raw, &size) == 0) {
      return source_at(raw, size, to);
    }
  }
  return std::nullopt;
}

std::optional<Link::Source> Link::source_at(const sockaddr* raw, socklen_t size, NetworkFd to) {
  const auto from = internet_address(raw, size);
  if (!from) return std::nullopt;
  return Source(to_v6_bytes(from->first), static_cast<std::uint16_t>(from->second), to);
}

std::string program_in(const Announcement& announcement) {
  const auto& name = announcement.program;
  return printable(std::string(name.data(), ::strnlen(name.data(), name.size())));
}

Link::Link(Services& services, UniqueFd socket)
    : services_(services),
      socket_(services.loop),
      announced_one_(services.loop, Clock::time_point::max()) {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      type != SOCK_SEQPACKET) {
    throw UserError("egress: the descriptor is no link to a deputy");
  }
  socket_.assign(std::move(socket));
  // Of an egress before this one: some may be of connections that it had accepted.
  hear(Clock::now() + services.limits.handshake);
}

asio::awaitable<void> Link::run() {
  while (socket_.is_open()) {
    co_await socket_.wait_after(EAGAIN);
    hear(Clock::time_point::max());
  }
}

void Link::close() {
  closed_ = true;
  socket_.close();
  announced_one_.cancel();
  for (const auto& [source, timer] : waiting_) timer->cancel();
}

void Link::hear(Clock::time_point until) {
  while (socket_.is_open()) {
    Announcement said;
    const ssize_t size = ::recv(socket_.fd(), &said, sizeof said, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size != sizeof said) {
      // The sandbox has ended, or its deputy is not ours.
      socket_.close();
      return;
    }
    const Source source(said.source, said.source_port, said.to);
    if (said.to == kNamesFd || said.to == kNamesStreamFd) {
      if (askers_.size() >= kManyAskers) askers_.clear();
      askers_[source] = said;
      continue;
    }
    if (announced_.size() >= kManyAnnounced) announced_.clear();
    Announced& announced = announced_[source];
    announced = {said, until, announced.times + 1, announced.accepted};
    if (said.to == kCaughtFd) announced_one_.cancel();
    const auto waiting = waiting_.find(source);
    if (waiting != waiting_.end()) waiting->second->cancel();
  }
}

std::optional<Announcement> Link::take(const Source& source) {
  const auto found = announced_.find(source);
  if (found == announced_.end()) return std::nullopt;
  const Announced announced = found->second;
  announced_.erase(found);
  if (announced.until < Clock::now()) return std::nullopt;
  return announced.announcement;
}

void Link::drop(const Source& source) {
  const auto found = announced_.find(source);
  if (found == announced_.end()) return;
  Announced& announced = found->second;
  if (announced.accepted > 0) --announced.accepted;
  if (--announced.times == 0) announced_.erase(found);
}

void Link::accepted(int connection) {
  hear(Clock::time_point::max());
  const auto source = source_of(connection, kCaughtFd);
  const auto found = source ? announced_.find(*source) : announced_.end();
  if (found != announced_.end()) ++found->second.accepted;
}

bool Link::awaits_connection() {
  const auto now = Clock::now();
  return std::any_of(announced_.begin(), announced_.end(), [&](const auto& entry) {
    const Announced& announced = entry.second;
    return announced.announcement.to == kCaughtFd && announced.accepted < announced.times &&
           announced.until >= now;
  });
}

asio::awaitable<void> Link::next() {
  asio::error_code ignored;
  if (!closed_) {
    co_await announced_one_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

asio::awaitable<std::optional<Announcement>> Link::announcement(int connection) {
  const auto from = source_of(connection, kCaughtFd);
  if (!from) co_return std::nullopt;
  const Source source = *from;
  hear(Clock::time_point::max());
  if (!is_connected(connection)) {
    drop(source);
    co_return std::nullopt;
  }
  std::optional<Announcement> found = take(source);
  if (found || closed_ || waiting_.contains(source)) co_return found;
  asio::steady_timer timer(services_.loop, services_.limits.handshake);
  waiting_[source] = &timer;
  asio::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  waiting_.erase(source);
  co_return take(source);
}

std::string Link::program_of(int connection) {
  const auto source = source_of(connection, kProxyFd);
  if (!source) return {};
  hear(Clock::time_point::max());
  const auto told = take(*source);
  return told ? program_in(*told) : std::string();
}

std::optional<Announcement> Link::asker(const sockaddr* from, socklen_t size, NetworkFd to) {
  const auto source = source_at(from, size, to);
  if (!source) return std::nullopt;
  hear(Clock::time_point::max());
  const auto found = askers_.find(*source);
  if (found == askers_.end()) return std::nullopt;
  return found->second;
}

bool Link::tell(const NameMeaning& meaning) {
  return socket_.is_open() && ::send(socket_.fd(), &meaning, sizeof meaning,
                                     MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof meaning;
}

}  // namespace sharkcage::egress
