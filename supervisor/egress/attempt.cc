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

void set_relay_options(int client, int upstream) {
  set_option(client, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(upstream, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(upstream, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(upstream, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdle);
  set_option(upstream, IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveInterval);
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
  const int result = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&storage), size);
  const int error = result == 0 ? 0 : errno;
  return {std::move(socket), error};
}

int pending_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
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

const char* name_of(Protocol protocol) {
  if (protocol == Protocol::kCaught) return "caught";
  return protocol == Protocol::kSocks5 ? "socks5" : "http";
}

std::string seconds_of(std::chrono::milliseconds time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()) + " s";
}

}  // namespace

Attempt::Attempt(Services& services, std::shared_ptr<Listener> listener, Entrance entrance,
                 UniqueFd client)
    : services_(services),
      listener_(std::move(listener)),
      client_(services.loop, std::move(client)),
      deadline_(services.loop),
      accepted_(Clock::now()),
      progress_(accepted_),
      entrance_(entrance),
      number_(++services.last_connection) {
  listener_->add(*this);
}

Attempt::~Attempt() {
  listener_->remove(*this);
}

asio::awaitable<void> Attempt::run() {
  const auto self = shared_from_this();
  deadline_.set(services_.limits.handshake, [this] {
    cut("the handshake took longer than " + seconds_of(services_.limits.handshake));
  });
  Handshake handshake = co_await shake();
  deadline_.clear();
  if (auto* requested = std::get_if<Requested>(&handshake)) {
    co_await serve(std::move(*requested));
  } else if (auto* refused = std::get_if<Refused>(&handshake)) {
    co_await refuse(std::move(*refused));
  } else if (!cut_reason_.empty()) {
    co_await report(Decision::kBlock, Phase::kClose, cut_reason_);
  }
}

asio::awaitable<Handshake> Attempt::shake() {
  if (entrance_ == Entrance::kCaught) {
    Handshake announced = co_await listener_->announced(client_);
    co_return announced;
  }
  const FindCall find_call = [this](const std::string& token) {
    return call_ = listener_->call_of(token);
  };
  Handshake handshake = co_await shake_hands(client_, find_call);
  program_ = listener_->program_of(client_);
  co_return handshake;
}

void Attempt::cut(std::string reason) {
  if (cut_reason_.empty()) cut_reason_ = std::move(reason);
  client_.cut();
  if (upstream_) upstream_->cut();
  if (lookup_) lookup_->give_up();
}

asio::awaitable<void> Attempt::refuse(Refused refused) {
  if (!cut_reason_.empty()) refused.reason = cut_reason_;
  co_await report(Decision::kBlock, Phase::kClose, std::move(refused.reason));
  co_await part(std::move(refused.reply));
}

asio::awaitable<void> Attempt::serve(Requested requested) {
  protocol_ = requested.protocol;
  call_ = requested.call;
  if (entrance_ == Entrance::kCaught) program_ = requested.program;
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
  const DestinationRules& rules = listener_->rules();
  const DestinationRules::Match match = rules.match(destination);
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
        reply_to(*protocol_, socks5::Reply::kHostUnreachable, host_ + " is " + reason);
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
  std::string reply = reply_to(*protocol_, outcome, asked() + ": " + why);
  co_await part(std::move(reply));
}

asio::awaitable<Resolution> Attempt::resolve(const Destination& destination) {
  if (destination.literal) co_return Resolution{{*destination.literal}, ""};
  if (is_localhost(destination.host)) {
    co_return Resolution{{*Address::parse("127.0.0.1"), *Address::parse("::1")}, ""};
  }
  if (entrance_ == Entrance::kCaught) {
    if (auto found = listener_->found_lately(destination.host)) co_return std::move(*found);
  }
  lookup_ = std::make_shared<Lookup>(services_.loop);
  if (!cut_reason_.empty()) lookup_->give_up();
  Resolution resolution = co_await listener_->look_up(destination.host, lookup_);
  lookup_.reset();
  co_return resolution;
}

asio::awaitable<int> Attempt::dial(const Address& address, unsigned port) {
  auto [socket, started] = start_dial(address, port);
  if (started != 0 && started != EINPROGRESS) co_return started;
  upstream_.emplace(services_.loop, std::move(socket));
  if (started == 0 || is_connected(upstream_->fd())) co_return 0;  // to this very host, mostly

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
  const std::string accepted = reply_to(*protocol_, socks5::Reply::kSucceeded, "");
  bool whole = co_await client_.write_all(accepted);
  set_relay_options(client_.fd(), upstream_->fd());  // while the client reads
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
  std::string reply = reply_to(*protocol_, outcome, asked() + ": " + reason);
  co_await report(Decision::kBlock, Phase::kClose, std::move(reason));
  co_await part(std::move(reply));
}

std::string Attempt::asked() const {
  const bool v6 = host_.find(':') != std::string::npos;
  return (v6 ? "[" + host_ + "]" : host_) + ":" + std::to_string(port_);
}

asio::awaitable<void> Attempt::fail(int error) {
  std::string reason = std::strerror(error);
  if (error == ECANCELED && !cut_reason_.empty()) reason = cut_reason_;
  co_await report(Decision::kAllow, Phase::kClose, std::move(reason));
}

// A close with unread bytes would make a reset of the reply (RFC 1122, section 4.2.2.13), so
// whatever the client still sends is read first, within limits.
// Who has no protocol to be told in gets a reset, so that the end is not taken for the server's.
asio::awaitable<void> Attempt::part(std::string reply) {
  if (entrance_ == Entrance::kCaught) {
    client_.reset_on_close();
    co_return;
  }
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
  event.program = program_;
  if (protocol_) event.protocol = name_of(*protocol_);
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
  co_await listener_->reports().send(std::move(event));
}

}  // namespace sharkcage::egress
