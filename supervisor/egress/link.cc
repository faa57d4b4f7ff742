#include "supervisor/egress/link.h"

#include <sys/socket.h>

#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>

#include "common/errors.h"
#include "common/text.h"

namespace sharkcage::egress {
namespace {

// No more connections than fit into a backlog wait to be accepted. Who announces more is no deputy
// of ours.
constexpr std::size_t kManyAnnounced = 4096;

// A connection that stands for its client and is not there after this time never comes: the kernel
// has given it up (tcp_synack_retries in tcp(7)).
constexpr std::chrono::seconds kKernelsPatience{70};

}  // namespace

std::uint32_t mark_of(int connection) {
  std::uint32_t mark = 0;
  socklen_t size = sizeof mark;
  return ::getsockopt(connection, SOL_SOCKET, SO_MARK, &mark, &size) == 0 ? mark : 0;
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
}

asio::awaitable<void> Link::run() {
  while (socket_.is_open()) {
    co_await socket_.wait_after(EAGAIN);
    hear();
  }
}

void Link::close() {
  closed_ = true;
  socket_.close();
  announced_one_.cancel();
  for (const auto& [number, timer] : waiting_) timer->cancel();
}

void Link::hear() {
  while (socket_.is_open()) {
    Announcement said;
    const ssize_t size = ::recv(socket_.fd(), &said, sizeof said, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size != sizeof said) {
      // The sandbox has ended, or its deputy is not ours.
      socket_.close();
      return;
    }
    if (said.to == kNamesFd || said.to == kNamesStreamFd) {
      askers_.add(said);
    } else if (said.to == kProxyFd) {
      proxied_.add(said);
    } else {
      caught_.add(said);
      announced_one_.cancel();
      const auto waiting = waiting_.find(said.number);
      if (waiting != waiting_.end()) waiting->second->cancel();
    }
  }
}

void Link::Announcements::add(const Announcement& announcement) {
  if (order_.size() >= kManyAnnounced) {
    known_.erase(order_.front().first);
    order_.pop_front();
  }
  known_[announcement.number] = announcement;
  order_.emplace_back(announcement.number, Clock::now());
}

std::optional<Announcement> Link::Announcements::find(std::uint32_t number) const {
  const auto found = known_.find(number);
  if (found == known_.end()) return std::nullopt;
  return found->second;
}

std::optional<Announcement> Link::Announcements::take(std::uint32_t number) {
  auto found = find(number);
  known_.erase(number);
  return found;
}

bool Link::Announcements::any_recent() {
  const auto old = Clock::now() - kKernelsPatience;
  while (!order_.empty() &&
         (order_.front().second < old || !known_.contains(order_.front().first))) {
    known_.erase(order_.front().first);
    order_.pop_front();
  }
  return !order_.empty();
}

bool Link::awaits_connection() {
  hear();
  return caught_.any_recent();
}

asio::awaitable<void> Link::next() {
  asio::error_code ignored;
  if (!closed_) {
    co_await announced_one_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

asio::awaitable<std::optional<Announcement>> Link::announcement(std::uint32_t number) {
  hear();
  std::optional<Announcement> found = caught_.take(number);
  if (found || closed_ || number == 0 || waiting_.contains(number)) co_return found;
  asio::steady_timer timer(services_.loop, services_.limits.handshake);
  waiting_[number] = &timer;
  asio::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  waiting_.erase(number);
  co_return caught_.take(number);
}

std::string Link::program_of(std::uint32_t number) {
  hear();
  const auto told = proxied_.take(number);
  return told ? program_in(*told) : std::string();
}

std::optional<Announcement> Link::asker(std::uint32_t number) {
  hear();
  return askers_.find(number);
}

bool Link::tell(const NameMeaning& meaning) {
  return socket_.is_open() && ::send(socket_.fd(), &meaning, sizeof meaning,
                                     MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof meaning;
}

}  // namespace sharkcage::egress
