#include "supervisor/sandbox/catcher.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>
#include <variant>

#include "supervisor/sandbox/non_blocking.h"
#include "supervisor/sandbox/patience.h"
#include "supervisor/sandbox/spec.h"

namespace sharkcage::sandbox {
namespace {

// The egress knows no more at once (name_table.h there).
constexpr std::size_t kMaxNames = 4096;
// How long the egress may take no more connections until commands are told: one that is started
// anew is there within a second, and a program whose socket does not block has others to attend to.
constexpr std::chrono::seconds kPatience{10};
constexpr std::chrono::seconds kShortPatience{1};

// The listener, as a socket of this family reaches it: one for IPv6 that is given an IPv4-mapped
// address goes by IPv4.
socklen_t inner_address(const Address& wanted, int domain, sockaddr_storage& storage) {
  if (domain == AF_INET) {
    auto& to = reinterpret_cast<sockaddr_in&>(storage);
    to.sin_family = AF_INET;
    to.sin_port = htons(kCaughtPort);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sizeof to;
  }
  auto& to = reinterpret_cast<sockaddr_in6&>(storage);
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(kCaughtPort);
  to.sin6_addr = in6addr_loopback;
  if (!wanted.is_v6()) {
    const std::uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
    std::memcpy(&to.sin6_addr, mapped, sizeof mapped);
  }
  return sizeof to;
}

enum class Peer { kNone, kListener, kOther };

Peer peer_of(int socket) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return Peer::kNone;
  const auto other = internet_address(reinterpret_cast<const sockaddr*>(&peer), size);
  return other && other->second == kCaughtPort ? Peer::kListener : Peer::kOther;
}

void disconnect(int socket) {
  const sockaddr none{AF_UNSPEC, {}};
  ::connect(socket, &none, sizeof none);
}

}  // namespace

Catcher::Catcher(const Policy& policy, bool network, UniqueFd link)
    : network_(network), rules_(policy.hosts, policy.deny_hosts), link_(std::move(link)) {}

// The egress may have died and begun anew: then a number can have another meaning, or the same.
void Catcher::hear_egress() {
  NameMeaning meaning;
  for (;;) {
    const ssize_t size = ::recv(link_.get(), &meaning, sizeof meaning, MSG_DONTWAIT);
    // The supervisor keeps the other end as long as there is a sandbox.
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) link_.reset();
    if (size != sizeof meaning) return;
    if (meaning.number >= kNameNumbers) continue;
    const auto [place, added] =
        names_.insert_or_assign(meaning.number, from_host_field(meaning.name));
    if (added) oldest_.push_back(meaning.number);
    if (oldest_.size() <= kMaxNames) continue;
    names_.erase(oldest_.front());
    oldest_.pop_front();
  }
}

Meaning Catcher::meaning(const Address& address, unsigned port) {
  using Kind = Meaning::Kind;
  const AddressKind kind = kind_of(address);
  // 0.0.0.0 and :: are loopback addresses to connect(2).
  const bool inside = kind == AddressKind::kLoopback || kind == AddressKind::kUnspecified;
  if (!network_) return {inside ? Kind::kInside : Kind::kRefused, address.to_string(), port, false};
  if (link_) hear_egress();
  Meaning meaning{Kind::kRefused, address.to_string(), port, false};
  if (const auto number = number_of(address)) {
    const auto found = names_.find(*number);
    if (found != names_.end()) {
      meaning.host = found->second;
      meaning.named = true;
    }
  }
  const auto wanted = destination_from_text(meaning.host, port);
  if (const auto* destination = std::get_if<Destination>(&wanted)) {
    if (is_approved(*destination)) {
      meaning.kind = Kind::kApproved;
    } else if (inside && is_approved({"localhost", std::nullopt, port})) {
      // In /etc/hosts, so that its address is all that a connection shows.
      meaning.kind = Kind::kApproved;
      meaning.host = "localhost";
    }
  }
  if (meaning.kind == Kind::kRefused && inside) {
    meaning.kind = port == kCaughtPort ? Kind::kNobody : Kind::kInside;
  }
  return meaning;
}

// Of a name the egress judges what it leads to.
bool Catcher::is_approved(const Destination& destination) const {
  const auto match = rules_.match(destination);
  if (match.rules.empty()) return false;
  return !destination.literal || rules_.judge(match, *destination.literal, false).allowed;
}

Answer Catcher::connect(const Notification& call, const Task& task, UniqueFd held, int domain,
                        const Address& address, const Meaning& meaning) {
  if (!link_) return Answer::refused(ENETDOWN);
  const int socket = held.get();
  sockaddr_storage storage{};
  const socklen_t size = inner_address(address, domain, storage);
  const auto* to = reinterpret_cast<const sockaddr*>(&storage);
  const NonBlocking calm(socket);
  if (!can_announce()) return wait(calm.blocks());
  if (!mark(call, socket)) return Answer::refused(ENETDOWN);
  const Patience patience;
  int error = ::connect(socket, to, size) == 0 ? 0 : errno;
  // On the loopback interface the other end has answered by now; only a second call tells.
  const bool begun = error == EINPROGRESS;
  if (begun) error = ::connect(socket, to, size) == 0 ? 0 : errno;
  // The queue is full: the egress is busy, or gone for longer than it takes to start one. Nothing
  // may come of it later, when nobody would say what it is for.
  if (error == EINTR || (begun && error == EALREADY)) {
    disconnect(socket);
    return error == EINTR ? Answer::refused(EINTR) : wait(calm.blocks());
  }
  busy_since_.reset();
  if (error != 0) return Answer::refused(error);
  const Peer peer = peer_of(socket);
  // One that was begun before, inside: connect(2) tells of that, wherever it is asked to go now.
  if (peer == Peer::kOther) return Answer::of(0);
  // One that the first data would make (TCP_FASTOPEN_CONNECT) is none yet.
  if (peer == Peer::kNone) {
    disconnect(socket);
    return Answer::refused(EOPNOTSUPP);
  }
  Announcement connection = describe(call, task, kCaughtFd);
  connection.host = to_host_field(meaning.host);
  connection.port = static_cast<std::uint16_t>(meaning.port);
  made_ = {connection, std::move(held)};
  return calm.blocks() ? Answer::of(0) : Answer::refused(EINPROGRESS);
}

Answer Catcher::wait(bool blocks) {
  const auto now = Clock::now();
  if (!busy_since_) busy_since_ = now;
  const bool late = now - *busy_since_ >= (blocks ? kPatience : kShortPatience);
  return late ? Answer::refused(ETIMEDOUT) : Answer::later();
}

void Catcher::give_up() {
  if (made_) disconnect(made_->socket.get());
  made_.reset();
}

// The sandbox may have no network any more by now: then the command hears it from its socket.
void Catcher::announce() {
  if (!made_) return;
  if (!tell_egress(made_->connection)) disconnect(made_->socket.get());
  made_.reset();
}

// Nobody else writes to the link.
bool Catcher::can_announce() const {
  pollfd link{link_.get(), POLLOUT, 0};
  return link_ && ::poll(&link, 1, 0) == 1 && (link.revents & POLLOUT) != 0;
}

bool Catcher::tell_egress(const Announcement& announcement) const {
  return ::send(link_.get(), &announcement, sizeof announcement, MSG_DONTWAIT | MSG_NOSIGNAL) ==
         sizeof announcement;
}

bool Catcher::mark(const Notification& call, int socket) {
  const std::uint32_t mark = call.mark();
  return ::setsockopt(socket, SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0;
}

void Catcher::tell_user(const Notification& call, const Task& task, int socket, bool stream,
                        unsigned port) {
  const bool proxy = network_ && stream && port == kProxyPort;
  if ((!proxy && port != kNamesPort) || !can_announce()) return;
  if (stream && peer_of(socket) == Peer::kNone) return;
  const NetworkFd to = proxy ? kProxyFd : stream ? kNamesStreamFd : kNamesFd;
  tell_egress(describe(call, task, to));
}

Announcement Catcher::describe(const Notification& call, const Task& task, NetworkFd to) {
  Announcement announcement;
  announcement.to = static_cast<std::uint8_t>(to);
  announcement.number = call.mark();
  announcement.command = task.command_number(keeper_);
  const std::string program = task.program();
  program.copy(announcement.program.data(), announcement.program.size() - 1);
  return announcement;
}

}  // namespace sharkcage::sandbox
