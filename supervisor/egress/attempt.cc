#include "supervisor/egress/attempt.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "supervisor/egress/listener.h"

namespace sharkcage::egress {
namespace {

using Clock = std::chrono::steady_clock;

// What a refused client may still send before it reads its refusal.
constexpr std::size_t kFarewellBytes = 64u << 10;

// Dead peers of connections that are idle by nature are found by TCP itself.
constexpr int kKeepAliveIdle = 120;     // seconds
constexpr int kKeepAliveInterval = 30;  // seconds

void set_option(int fd, int level, int option, int value) {
  ::setsockopt(fd, level, option, &value, sizeof value);
}

// connect(2) to exactly this address. Returns the socket and 0, EINPROGRESS or what failed.
std::pair<UniqueFd, int> start_dial(const Address& address, unsigned port) {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const auto bytes = address.bytes();
  if (address.is_v6()) {
    auto& to = reinterpret_cast<sockaddr_in6&>(storage);
    to.sin6_family = AF_INET6;
    to.sin6_port = htons(static_cast<std::uint16_t>(port));
    std::memcpy(&to.sin6_addr, bytes.data(), bytes.size());
    size = sizeof to;
  } else {
    auto& to = reinterpret_cast<sockaddr_in&>(storage);
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    std::memcpy(&to.sin_addr, bytes.data(), bytes.size());
    size = sizeof to;
  }
  UniqueFd socket(::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return {UniqueFd(), errno};
  set_option(socket.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket.get(), SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(socket.get(), IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdle);
  set_option(socket.get(), IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveInterval);
  const int result = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&storage), size);
  const int error = result == 0 ? 0 : errno;
  return {std::move(socket), error};
}

int pending_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

bool is_connected(int fd) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  return ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
}

socks5::Reply outcome_of(int error) {
  switch (error) {
    case ECONNREFUSED:
      return socks5::Reply::kRefused;
    case ENETUNREACH:
      return socks5::Reply::kNetworkUnreachable;
    case EHOSTUNREACH:
    case ETIMEDOUT:
      return socks5::Reply::kHostUnreachable;
    default:
      return socks5::Reply::kFailure;
  }
}

std::string seconds_of(std::chrono::milliseconds time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()) + " s";
}

}  // namespace

Attempt::Attempt(Services& services, std::shared_ptr<Listener> listener, UniqueFd client)
    : services_(services),
      listener_(std::move(listener)),
      client_(services.loop, std::move(client)),
      deadline_(services.loop),
      answer_(services.loop),
      accepted_(Clock::now()),
      progress_(accepted_),
      number_(++services.last_connection) {
  listener_->add(*this);
}

Attempt::~Attempt() {
  listener_->remove(*this);
}

asio::awaitable<void> Attempt::run() {
  const auto self = shared_from_this();
  set_option(client_.fd(), IPPROTO_TCP, TCP_NODELAY, 1);
  deadline_.set(services_.limits.handshake, [this] {
    cut("the handshake took longer than " + seconds_of(services_.limits.handshake));
  });
  const FindCall find_call = [this](const std::string& token) {
    return call_ = listener_->call_of(token);
  };
  Handshake handshake = co_await shake_hands(client_, find_call);
  deadline_.clear();
  if (auto* requested = std::get_if<Requested>(&handshake)) {
    co_await serve(std::move(*requested));
  } else if (auto* refused = std::get_if<Refused>(&handshake)) {
    co_await refuse(std::move(*refused));
  } else if (!cut_reason_.empty()) {
    co_await report(Decision::kBlock, Phase::kClose, cut_reason_);
  }
}

void Attempt::cut(std::string reason) {
  if (cut_reason_.empty()) cut_reason_ = std::move(reason);
  client_.cut();
  if (upstream_) upstream_->cut();
  answer_.cancel();
}

asio::awaitable<void> Attempt::refuse(Refused refused) {
  if (!cut_reason_.empty()) refused.reason = cut_reason_;
  co_await report(Decision::kBlock, Phase::kClose, std::move(refused.reason));
  co_await part(std::move(refused.reply));
}

asio::awaitable<void> Attempt::serve(Requested requested) {
  protocol_ = requested.protocol;
  host_ = requested.host;
  port_ = requested.port;
  if (requested.command != socks5::Command::kConnect) {
    co_await block("only CONNECT is served", "", socks5::Reply::kCommandNotSupported);
  } else if (const auto* none = std::get_if<NoDestination>(&requested.destination)) {
    co_await block(none->reason, "", socks5::Reply::kNotAllowed);
  } else {
    co_await connect(std::get<Destination>(requested.destination), requested.early);
  }
}

// From here to the dial nothing looks the name up again: what is judged is what is dialled.
asio::awaitable<void> Attempt::connect(const Destination& destination, const std::string& early) {
  const Rules& rules = listener_->rules();
  const Rules::Match match = rules.match(destination);
  if (match.rules.empty()) {
    co_await block(match.reason, match.rule, socks5::Reply::kNotAllowed);
    co_return;
  }
  rule_ = rules.text(match.rules.front());
  const Resolution resolution = co_await resolve(destination);
  if (resolution.addresses.empty() || !cut_reason_.empty()) {
    // GCC 12 destroys a conditional's temporary twice in the operand of co_await: so no ?: there.
    std::string reason = cut_reason_;
    if (reason.empty()) reason = "unresolvable: " + resolution.error;
    std::string reply =
        reply_to(protocol_, socks5::Reply::kHostUnreachable, host_ + " is " + reason);
    co_await report(Decision::kAllow, Phase::kClose, std::move(reason));
    co_await part(std::move(reply));
    co_return;
  }
  socks5::Reply outcome = socks5::Reply::kNotAllowed;
  std::string why;
  for (const Address& address : resolution.addresses) {
    if (!cut_reason_.empty()) co_return;  // reported when it happened
    if (!address_.empty()) number_ = ++services_.last_connection;
    const auto judgement = rules.judge(match, address, services_.routes.own(address));
    address_ = address.to_string();
    rule_ = judgement.rule;
    if (!judgement.allowed) {
      why = judgement.reason;
      co_await report(Decision::kBlock, Phase::kClose, judgement.reason);
      continue;
    }
    co_await report(Decision::kAllow, Phase::kOpen, "");
    const int error = co_await dial(address, destination.port);
    if (error == 0) {
      co_await carry(early);
      co_return;
    }
    outcome = outcome_of(error);
    why = std::strerror(error);
    co_await fail(error);
  }
  std::string reply = reply_to(protocol_, outcome, asked() + ": " + why);
  co_await part(std::move(reply));
}

asio::awaitable<Resolution> Attempt::resolve(const Destination& destination) {
  if (destination.literal) co_return Resolution{{*destination.literal}, ""};
  if (is_localhost(destination.host)) {
    co_return Resolution{{*Address::parse("127.0.0.1"), *Address::parse("::1")}, ""};
  }
  Resolution resolution = co_await look_up(destination.host);
  co_return resolution;
}

asio::awaitable<Resolution> Attempt::look_up(const std::string& name) {
  const auto late = Clock::now() + services_.limits.resolve;
  asio::error_code ignored;
  const auto waiting = [&] { return cut_reason_.empty() && Clock::now() < late; };

  deadline_.set(services_.limits.resolve, [this] { listener_->lookup_freed.cancel(); });
  while (waiting() && listener_->lookups >= services_.limits.lookups) {
    co_await listener_->lookup_freed.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  deadline_.clear();
  if (!waiting()) co_return Resolution{{}, "the sandbox asks for too many names at once"};

  ++listener_->lookups;
  answer_.expires_at(late);
  const auto answer = std::make_shared<std::optional<Resolution>>();
  // The answer may come long after this attempt is over; until then it counts as a lookup.
  services_.resolver.resolve(
      name, [listener = listener_, attempt = weak_from_this(), answer](Resolution resolution) {
        --listener->lookups;
        listener->lookup_freed.cancel();
        *answer = std::move(resolution);
        if (const auto self = attempt.lock()) self->answer_.cancel();
      });
  while (!answer->has_value() && waiting()) {
    co_await answer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (!answer->has_value()) co_return Resolution{{}, "no answer in time"};
  co_return std::move(**answer);
}

asio::awaitable<int> Attempt::dial(const Address& address, unsigned port) {
  auto [socket, started] = start_dial(address, port);
  if (started != 0 && started != EINPROGRESS) co_return started;
  upstream_.emplace(services_.loop, std::move(socket));
  if (started == 0) co_return 0;

  bool late = false;
  deadline_.set(services_.limits.connect, [this, &late] {
    late = true;
    upstream_->cut();
  });
  int error = 0;
  do {
    const bool ready = co_await upstream_->writable();
    error = late ? ETIMEDOUT : ready ? pending_error(upstream_->fd()) : ECANCELED;
  } while (error == 0 && !is_connected(upstream_->fd()));
  deadline_.clear();
  if (error != 0) upstream_.reset();
  co_return error;
}

asio::awaitable<void> Attempt::carry(std::string early) {
  watch_idleness();
  const std::string accepted = reply_to(protocol_, socks5::Reply::kSucceeded, "");
  bool whole = co_await client_.write_all(accepted);
  if (whole) whole = co_await upstream_->write_all(early);
  if (whole) {
    traffic_.up += early.size();
    traffic_.progress = [this] { progress_ = Clock::now(); };
    co_await relay(services_.loop, client_, *upstream_, services_.buffers, traffic_);
    whole = traffic_.up_error == 0 && traffic_.down_error == 0;
  }
  deadline_.clear();
  std::string reason = cut_reason_;
  if (!whole) {
    client_.reset_on_close();
    upstream_->reset_on_close();
    // The direction that broke first cancelled the other.
    const int error = traffic_.up_error != 0 && traffic_.up_error != ECANCELED
                          ? traffic_.up_error
                          : traffic_.down_error;
    if (reason.empty()) reason = error != 0 ? std::strerror(error) : "broken before the first byte";
  }
  co_await report(Decision::kAllow, Phase::kClose, std::move(reason));
}

void Attempt::watch_idleness() {
  const auto quiet = Clock::now() - progress_;
  deadline_.set(services_.limits.idle - std::min<Clock::duration>(quiet, services_.limits.idle),
                [this] {
                  if (Clock::now() - progress_ < services_.limits.idle) return watch_idleness();
                  cut("idle for " + seconds_of(services_.limits.idle));
                });
}

asio::awaitable<void> Attempt::block(std::string reason, std::string rule, socks5::Reply outcome) {
  rule_ = std::move(rule);
  std::string reply = reply_to(protocol_, outcome, asked() + ": " + reason);
  co_await report(Decision::kBlock, Phase::kClose, std::move(reason));
  co_await part(std::move(reply));
}

std::string Attempt::asked() const {
  return host_ + ":" + std::to_string(port_);
}

asio::awaitable<void> Attempt::fail(int error) {
  std::string reason = std::strerror(error);
  if (error == ECANCELED && !cut_reason_.empty()) reason = cut_reason_;
  co_await report(Decision::kAllow, Phase::kClose, std::move(reason));
}

// A close with unread bytes would make a reset of the reply (RFC 1122, section 4.2.2.13), so
// whatever the client still sends is read first, within limits.
asio::awaitable<void> Attempt::part(std::string reply) {
  deadline_.set(services_.limits.farewell, [this] { client_.cut(); });
  bool there = co_await client_.write_all(reply);
  ::shutdown(client_.fd(), SHUT_WR);
  char ignored[4096];
  for (std::size_t read = 0; there && read < kFarewellBytes;) {
    const ssize_t got = client_.read(ignored, sizeof ignored);
    if (got > 0) {
      read += static_cast<std::size_t>(got);
    } else if (got < 0 && errno == EAGAIN) {
      there = co_await client_.readable();
    } else {
      there = false;
    }
  }
  deadline_.clear();
}

asio::awaitable<void> Attempt::report(Decision decision, Phase phase, std::string reason) {
  const Listen& listen = listener_->listen();
  const auto lasted = Clock::now() - accepted_;
  Connection event;
  event.id = listen.id;
  event.connection = number_;
  event.call = call_.empty() ? listener_->only_call() : call_;
  event.session = listen.session;
  event.skill = listen.skill;
  event.host = host_;
  event.port = port_;
  event.address = address_;
  event.decision = decision;
  event.reason = std::move(reason);
  event.rule = rule_;
  event.bytes_up = traffic_.up;
  event.bytes_down = traffic_.down;
  event.duration_us = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(lasted).count());
  event.phase = phase;
  Event message = std::move(event);
  co_await services_.channel.send(std::move(message));
}

}  // namespace sharkcage::egress
