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

#include "common/errors.h"
#include "common/hash.h"

namespace sharkcage::egress {
namespace {

constexpr int kAcceptTurn = 64;
// Descriptors or memory have run out on the host: nothing tells when that is over.
constexpr auto kScarcityPause = std::chrono::milliseconds(100);

void check_listening(int fd) {
  int listening = 0;
  int type = 0;
  socklen_t size = sizeof listening;
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0 ||
      ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) {
    throw UserError("egress: the descriptor is no listening stream socket");
  }
}

}  // namespace

Listener::Listener(Services& services, Listen listen, UniqueFd socket)
    : lookup_freed(services.loop, asio::steady_timer::time_point::max()),
      services_(services),
      listen_(std::move(listen)),
      rules_(listen_.hosts, listen_.deny_hosts),
      socket_(services.loop) {
  check_listen(listen_);
  check_listening(socket.get());
  if (::fcntl(socket.get(), F_SETFL, O_NONBLOCK) != 0) throw_errno("fcntl O_NONBLOCK");
  socket_.assign(socket.get());
  socket.release();
}

Listener::~Listener() {
  // asio leaves it to close(2) to take a descriptor out of its epoll set. That does not happen
  // here, since the supervisor holds the same open file, and epoll would go on reporting it
  // (epoll(7)).
  if (socket_.is_open()) ::close(socket_.release());
}

asio::awaitable<void> Listener::run() {
  const auto self = shared_from_this();
  co_await accept();
  // A socket that failed is still the supervisor's to close.
  while (!closed_ || !attempts_.empty()) {
    asio::error_code ignored;
    co_await services_.slot_freed.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  Event closed = Closed{listen_.id};
  co_await services_.channel.send(std::move(closed));
}

void Listener::admit(CallToken token) {
  check_token(token);
  listen_.tokens.push_back(std::move(token));
}

void Listener::dismiss(const std::string& call) {
  std::erase_if(listen_.tokens, [&](const CallToken& token) { return token.call == call; });
  for (Attempt* attempt : attempts_) {
    if (attempt->call() == call) attempt->cut("the call ended");
  }
}

// Every token is compared, so that time does not tell which one is nearly right.
std::string Listener::call_of(const std::string& token) const {
  std::string call;
  for (const CallToken& known : listen_.tokens) {
    if (equal_secrets(token, known.token)) call = known.call;
  }
  return call;
}

std::string Listener::only_call() const {
  return listen_.tokens.size() == 1 ? listen_.tokens[0].call : std::string();
}

void Listener::close() {
  if (std::exchange(closed_, true)) return;
  if (socket_.is_open()) ::close(socket_.release());
  services_.slot_freed.cancel();
  lookup_freed.cancel();
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

asio::awaitable<void> Listener::accept() {
  asio::steady_timer pause(services_.loop);
  for (int accepted = 0; !closed_;) {
    co_await wait_for_slot();
    if (closed_) co_return;
    UniqueFd client(
        ::accept4(socket_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    asio::error_code ignored;
    if (client) {
      auto attempt = std::make_shared<Attempt>(services_, shared_from_this(), std::move(client));
      asio::co_spawn(
          services_.loop, [attempt]() { return attempt->run(); }, rethrow);
      if (++accepted % kAcceptTurn == 0) co_await asio::post(services_.loop, asio::use_awaitable);
    } else if (errno == EAGAIN) {
      co_await socket_.async_wait(asio::posix::descriptor_base::wait_read,
                                  asio::redirect_error(asio::use_awaitable, ignored));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      pause.expires_after(kScarcityPause);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    } else if (errno == EINVAL || errno == EBADF) {
      // Somebody has shut the socket down: the sandbox stays without a network.
      Event failed = Failed{listen_.id, std::string("accept4: ") + std::strerror(errno)};
      co_await services_.channel.send(std::move(failed));
      co_return;
    }
    // Everything else is the end of one connection before it was accepted (accept(2)).
  }
}

asio::awaitable<void> Listener::wait_for_slot() {
  while (!closed_ && (attempts_.size() >= services_.limits.connections ||
                      services_.connections >= services_.limits.all_connections)) {
    asio::error_code ignored;
    co_await services_.slot_freed.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

}  // namespace sharkcage::egress
