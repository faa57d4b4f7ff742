#include "supervisor/egress/listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "capabilities/caught.h"
#include "common/errors.h"
#include "common/hash.h"
#include "common/text.h"

namespace sharkcage::egress {
namespace {

constexpr int kAcceptTurn = 64;
// At most between the questions of one program for IPv4 and IPv6.
constexpr std::chrono::seconds kHalvesApart{1};

void take_listening(SharedSocket& place, UniqueFd socket) {
  const int fd = socket.get();
  int listening = 0;
  int type = 0;
  socklen_t size = sizeof listening;
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0 ||
      ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) {
    throw UserError("egress: the descriptor is no listening stream socket");
  }
  place.assign(std::move(socket));
}

// Of a name that is asked for.
Connection asked(const Listen& listen, const std::string& name) {
  Connection event;
  event.id = listen.id;
  event.session = listen.session;
  event.skill = listen.skill;
  event.protocol = "dns";
  event.host = name;
  return event;
}

}  // namespace

Listener::Listener(Services& services, Listen listen, std::vector<UniqueFd> sockets)
    : services_(services),
      listen_(std::move(listen)),
      rules_(listen_.hosts, listen_.deny_hosts),
      proxy_(services.loop),
      caught_(services.loop),
      reports_(services, listen_.id),
      lookup_freed_(services.loop, asio::steady_timer::time_point::max()) {
  check_listen(listen_);
  if (listen_.sockets == Sockets::kNames) {
    link_.emplace(services, std::move(sockets[1]));
    serve_names(std::move(sockets[0]), UniqueFd());
    return;
  }
  take_listening(proxy_, std::move(sockets[kProxyFd]));
  if (listen_.sockets == Sockets::kProxy) return;
  take_listening(caught_, std::move(sockets[kCaughtFd]));
  link_.emplace(services, std::move(sockets[kLinkFd]));
  serve_names(std::move(sockets[kNamesFd]), std::move(sockets[kNamesStreamFd]));
}

void Listener::serve_names(UniqueFd udp, UniqueFd tcp) {
  name_server_ = std::make_shared<NameServer>(services_, std::move(udp), std::move(tcp),
                                              [this](dns::Question question, NameClient from) {
                                                return answer_name(std::move(question), from);
                                              });
}

void Listener::spawn(asio::awaitable<void> work) {
  ++running_;
  asio::co_spawn(services_.loop, std::move(work),
                 [self = shared_from_this()](const std::exception_ptr& thrown) {
                   --self->running_;
                   self->services_.slot_freed.cancel();
                   rethrow(thrown);
                 });
}

asio::awaitable<void> Listener::run() {
  const auto self = shared_from_this();
  asio::co_spawn(
      services_.loop, [self] { return self->reports_.run(); }, rethrow);
  if (proxy_.is_open()) spawn(accept(proxy_, Entrance::kProxy));
  if (caught_.is_open()) spawn(accept(caught_, Entrance::kCaught));
  if (link_) spawn(link_->run());
  if (name_server_) spawn(name_server_->run());
  // A socket that failed is still the supervisor's to close.
  while (!closed_ || !attempts_.empty() || running_ > 0) {
    asio::error_code ignored;
    co_await services_.slot_freed.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  co_await reports_.finish();
  Event closed = Closed{listen_.id};
  co_await services_.channel.send(std::move(closed));
}

void Listener::admit(CallToken token) {
  if (listen_.sockets != Sockets::kNames) check_token(token);
  listen_.tokens.push_back(std::move(token));
}

void Listener::dismiss(const std::string& call) {
  std::erase_if(listen_.tokens, [&](const CallToken& token) { return token.call == call; });
  for (Attempt* attempt : attempts_) {
    if (attempt->call() == call) attempt->cut("the call ended");
  }
  reports_.end(call);
}

// Every token is compared, so that time does not tell which one is nearly right.
std::string Listener::call_of(const std::string& token) const {
  std::string call;
  for (const CallToken& known : listen_.tokens) {
    if (!known.token.empty() && equal_secrets(token, known.token)) call = known.call;
  }
  return call;
}

std::string Listener::only_call() const {
  return listen_.tokens.size() == 1 ? listen_.tokens[0].call : std::string();
}

void Listener::close() {
  if (std::exchange(closed_, true)) return;
  proxy_.close();
  caught_.close();
  if (link_) link_->close();
  if (name_server_) name_server_->close();
  services_.slot_freed.cancel();
  lookup_freed_.cancel();
  for (const auto& lookup : lookups_) lookup->give_up();
  for (Attempt* attempt : attempts_) attempt->cut("the call ended");
}

void Listener::add(Attempt& attempt) {
  attempts_.insert(&attempt);
  ++services_.connections;
}

void Listener::remove(Attempt& attempt) {
  attempts_.erase(&attempt);
  --services_.connections;
  services_.slot_freed.cancel();
}

asio::awaitable<void> Listener::accept(SharedSocket& socket, Entrance entrance) {
  for (int accepted = 0; !closed_;) {
    co_await wait_for_slot();
    if (closed_) co_return;
    UniqueFd client(::accept4(socket.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (client) {
      auto attempt =
          std::make_shared<Attempt>(services_, shared_from_this(), entrance, std::move(client));
      asio::co_spawn(
          services_.loop, [attempt]() { return attempt->run(); }, rethrow);
      if (++accepted % kAcceptTurn == 0) co_await asio::post(services_.loop, asio::use_awaitable);
      continue;
    }
    const int error = errno;
    if (error == EAGAIN && entrance == Entrance::kCaught && !link_->awaits_connection()) {
      co_await link_->next();
      continue;
    }
    const bool works = co_await socket.wait_after(error);
    if (entrance == Entrance::kCaught) socket.rest();
    if (works || closed_) continue;
    // Somebody has shut the socket down: the sandbox stays without a network.
    Event failed = Failed{listen_.id, std::string("accept4: ") + std::strerror(error)};
    co_await services_.channel.send(std::move(failed));
    co_return;
  }
}

std::string Listener::call_of_command(std::uint64_t command) const {
  if (command == 0) return only_call();
  for (const CallToken& known : listen_.tokens) {
    if (known.command == command) return known.call;
  }
  return {};
}

asio::awaitable<Handshake> Listener::announced(Stream& client) {
  const auto caught = co_await link_->announcement(mark_of(client.fd()));
  if (!is_connected(client.fd())) co_return Gone{};
  if (!caught) co_return Refused{"a connection that nothing was told of", ""};
  Requested result;
  result.protocol = Protocol::kCaught;
  const std::string host = from_host_field(caught->host);
  result.host = printable(host);
  result.port = caught->port;
  result.program = program_in(*caught);
  result.destination = destination_from_text(host, caught->port);
  const FindCall find_call = [&](const std::string&) { return call_of_command(caught->command); };
  result.call = co_await find_patiently(find_call, "");
  if (result.call.empty()) co_return Refused{"of no call that may use the network", ""};
  co_return result;
}

void Listener::describe_asker(const NameClient& from, Connection& event) {
  const auto asker = link_->asker(from.number);
  if (asker) {
    event.program = program_in(*asker);
    event.call = call_of_command(asker->command);
  }
  if (event.call.empty()) event.call = only_call();
}

asio::awaitable<NameAnswer> Listener::answer_name(dns::Question question, NameClient from) {
  NameAnswer answer;
  Connection event = asked(listen_, question.name);
  describe_asker(from, event);
  event.connection = ++services_.last_connection;
  const DestinationRules::Match match = rules_.match_name(question.host);
  event.rule = match.rules.empty() ? match.rule : rules_.text(match.rules.front());
  const auto begun = std::chrono::steady_clock::now();
  Resolution resolution;
  if (match.rules.empty()) {
    event.reason = answer.prohibited = match.reason;
    if (is_other_half(question)) event.connection = 0;
  } else {
    event.decision = Decision::kAllow;
    // The first who asks is recorded.
    if (found_lately(question.host) || being_found_.contains(question.host)) event.connection = 0;
    resolution = co_await find_addresses(question.host);
    answer.rcode = !resolution.addresses.empty() ? dns::Rcode::kNoError
                   : resolution.no_such_name     ? dns::Rcode::kNxDomain
                                                 : dns::Rcode::kServFail;
    if (answer.rcode != dns::Rcode::kNoError) event.reason = "unresolvable: " + resolution.error;
  }
  if (answer.rcode == dns::Rcode::kNoError) {
    event.address = resolution.addresses.front().to_string();
    const std::uint32_t number = names_.number(question.host);
    if (!link_->tell({number, to_host_field(question.host)})) {
      answer.rcode = dns::Rcode::kServFail;
    }
    if (question.type == dns::kTypeA) answer.address = synthetic_v4(number);
    if (question.type == dns::kTypeAaaa) answer.address = synthetic_v6(number);
  }
  event.duration_us =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                     std::chrono::steady_clock::now() - begun)
                                     .count());
  if (event.connection != 0) {
    co_await reports_.send(std::move(event));
  }
  co_return answer;
}

// Of a program that asks for the addresses of both families (getaddrinfo(3)), which is once.
bool Listener::is_other_half(const dns::Question& question) {
  const auto now = std::chrono::steady_clock::now();
  const auto is_address = [](std::uint16_t type) {
    return type == dns::kTypeA || type == dns::kTypeAaaa;
  };
  const bool other = refused_.name == question.name && refused_.type != question.type &&
                     is_address(refused_.type) && is_address(question.type) &&
                     now - refused_.when < kHalvesApart;
  refused_ = other ? RefusedName{} : RefusedName{question.name, question.type, now};
  return other;
}

std::optional<Resolution> Listener::found_lately(const std::string& name) const {
  return names_.fresh(name, std::chrono::steady_clock::now());
}

// Both address families are asked for at the same time: the name servers are asked once.
asio::awaitable<Resolution> Listener::find_addresses(std::string name) {
  asio::error_code ignored;
  while (!closed_ && being_found_.contains(name)) {
    co_await lookup_freed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (auto found = found_lately(name)) co_return std::move(*found);
  if (closed_) co_return Resolution{{}, "the call ended"};
  if (is_localhost(name)) {
    const Resolution own{{*Address::parse("127.0.0.1"), *Address::parse("::1")}, ""};
    names_.number(name);
    names_.note(name, own, std::chrono::steady_clock::now());
    co_return own;
  }
  being_found_.insert(name);
  const auto lookup = std::make_shared<Lookup>(services_.loop);
  Resolution resolution = co_await look_up(name, lookup);
  being_found_.erase(name);
  lookup_freed_.cancel();
  if (!resolution.addresses.empty()) {
    names_.number(name);
    names_.note(name, resolution, std::chrono::steady_clock::now());
  }
  co_return resolution;
}

asio::awaitable<Resolution> Listener::look_up(const std::string& name,
                                              std::shared_ptr<Lookup> lookup) {
  using Clock = std::chrono::steady_clock;
  const auto late = Clock::now() + services_.limits.resolve;
  asio::error_code ignored;
  const auto waiting = [&] { return !closed_ && !lookup->given_up && Clock::now() < late; };

  Deadline deadline(services_.loop);
  deadline.set(services_.limits.resolve, [this] { lookup_freed_.cancel(); });
  while (waiting() && lookups_.size() >= services_.limits.lookups) {
    co_await lookup_freed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  deadline.clear();
  if (!waiting()) co_return Resolution{{}, "the sandbox asks for too many names at once"};

  lookups_.insert(lookup);
  lookup->answered.expires_at(late);
  // The answer may come long after nobody waits for it; until then it counts as a lookup.
  services_.resolver.resolve(name, [self = shared_from_this(), lookup](Resolution resolution) {
    self->lookups_.erase(lookup);
    self->lookup_freed_.cancel();
    lookup->result = std::move(resolution);
    lookup->answered.cancel();
  });
  while (!lookup->result && waiting()) {
    co_await lookup->answered.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (!lookup->result) co_return Resolution{{}, "no answer in time"};
  co_return *lookup->result;
}

// No more than it leaves to others: one sandbox that takes what it can get has half of all, two
// have three quarters.
bool Listener::has_slot() const {
  const EgressLimits& limits = services_.limits;
  return attempts_.size() < limits.connections &&
         attempts_.size() + services_.connections < limits.all_connections;
}

asio::awaitable<void> Listener::wait_for_slot() {
  while (!closed_ && !has_slot()) {
    asio::error_code ignored;
    co_await services_.slot_freed.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

}  // namespace sharkcage::egress
