#include "supervisor/egress/name_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <span>
#include <utility>

#include "common/errors.h"
#include "supervisor/egress/link.h"

namespace sharkcage::egress {
namespace {

// Datagrams after which the others of the loop have their turn.
constexpr unsigned kTurn = 64;

int option_of(int fd, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

bool is_bound(int fd) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return false;
  if (name.ss_family == AF_INET) return reinterpret_cast<sockaddr_in&>(name).sin_port != 0;
  return name.ss_family == AF_INET6 && reinterpret_cast<sockaddr_in6&>(name).sin6_port != 0;
}

// One datagram and whose it is; -1 with errno.
ssize_t receive(int socket, std::span<std::uint8_t> packet, NameClient& from) {
  alignas(cmsghdr) std::array<std::uint8_t, CMSG_SPACE(sizeof from.number)> control;
  iovec part{packet.data(), packet.size()};
  msghdr message{};
  message.msg_name = &from.address;
  message.msg_namelen = sizeof from.address;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(socket, &message, MSG_DONTWAIT);
  if (got < 0) return got;
  from.size = message.msg_namelen;
  const cmsghdr* told = CMSG_FIRSTHDR(&message);
  if (told != nullptr && told->cmsg_level == SOL_SOCKET && told->cmsg_type == SO_MARK) {
    std::memcpy(&from.number, CMSG_DATA(told), sizeof from.number);
  }
  return got;
}

dns::Bytes bytes_of(const std::string& packet) {
  return {reinterpret_cast<const std::uint8_t*>(packet.data()), packet.size()};
}

// All `size` bytes, or fewer at the end of the stream.
asio::awaitable<std::string> read_exactly(Stream& client, std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = client.read(bytes.data() + done, size - done);
    if (got > 0) {
      done += static_cast<std::size_t>(got);
      continue;
    }
    if (got == 0 || errno != EAGAIN) break;
    const bool ready = co_await client.readable();
    if (!ready) break;
  }
  bytes.resize(done);
  co_return bytes;
}

// What follows a length (RFC 7766, section 8). Of a packet that is too long just enough to see it.
asio::awaitable<std::string> next_packet(Stream& client) {
  const std::string length = co_await read_exactly(client, 2);
  if (length.size() < 2) co_return std::string();
  const std::size_t high = static_cast<unsigned char>(length[0]);
  const std::size_t size = (high << 8) | static_cast<unsigned char>(length[1]);
  const std::size_t wanted = std::min(size, dns::kMaxQuestion + 1);
  std::string packet = co_await read_exactly(client, wanted);
  if (packet.size() < wanted) packet.clear();
  co_return packet;
}

std::string with_length(const std::string& response) {
  std::string framed{static_cast<char>(response.size() >> 8),
                     static_cast<char>(response.size() & 0xFF)};
  return framed + response;
}

}  // namespace

NameServer::NameServer(Services& services, UniqueFd udp, UniqueFd tcp, AnswerName answer)
    : services_(services),
      answer_(std::move(answer)),
      udp_(services.loop),
      tcp_(services.loop),
      changed_(services.loop, asio::steady_timer::time_point::max()) {
  if (option_of(udp.get(), SO_TYPE) != SOCK_DGRAM || !is_bound(udp.get())) {
    throw UserError("egress: the descriptor for names is no bound datagram socket");
  }
  if (tcp &&
      (option_of(tcp.get(), SO_TYPE) != SOCK_STREAM || option_of(tcp.get(), SO_ACCEPTCONN) != 1)) {
    throw UserError("egress: the descriptor for names over TCP is no listening stream socket");
  }
  udp_.assign(std::move(udp));
  if (tcp) tcp_.assign(std::move(tcp));
}

asio::awaitable<void> NameServer::run() {
  const auto self = shared_from_this();
  spawn(serve_datagrams());
  if (tcp_.is_open()) spawn(accept());
  asio::error_code ignored;
  // A socket that failed is still the supervisor's to close.
  while (!closed_ || running_ > 0) {
    co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  answer_ = nullptr;
}

void NameServer::close() {
  if (std::exchange(closed_, true)) return;
  udp_.close();
  tcp_.close();
  for (Stream* client : connections_) client->cut();
  changed_.cancel();
  services_.slot_freed.cancel();
}

void NameServer::spawn(asio::awaitable<void> work) {
  ++running_;
  asio::co_spawn(services_.loop, std::move(work),
                 [self = shared_from_this()](const std::exception_ptr& thrown) {
                   --self->running_;
                   self->changed_.cancel();
                   rethrow(thrown);
                 });
}

asio::awaitable<void> NameServer::serve_datagrams() {
  std::array<std::uint8_t, dns::kMaxQuestion + 1> packet;
  for (unsigned turn = 1;; ++turn) {
    if (turn % kTurn == 0) co_await asio::post(services_.loop, asio::use_awaitable);
    co_await wait_for_room();
    if (closed_) co_return;
    // From here to the count of the question nothing else may run.
    NameClient from;
    const ssize_t got = receive(udp_.fd(), packet, from);
    if (got < 0) {
      const bool works = co_await udp_.wait_after(errno);
      if (!works) co_return;
      continue;
    }
    const std::size_t size = static_cast<std::size_t>(got);
    std::optional<dns::Question> question = dns::parse(dns::Bytes(packet.data(), size));
    if (!question) continue;
    ++questions_;
    spawn(serve_datagram(std::move(*question), from));
  }
}

// Whoever does not read its responses misses them: a send that would block is not repeated.
asio::awaitable<void> NameServer::serve_datagram(dns::Question question, NameClient from) {
  const std::string response = co_await response_to(std::move(question), from);
  if (!closed_) {
    ::sendto(udp_.fd(), response.data(), response.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
             reinterpret_cast<const sockaddr*>(&from.address), from.size);
  }
  --questions_;
  changed_.cancel();
}

asio::awaitable<std::string> NameServer::response_to(dns::Question question,
                                                     const NameClient& from) {
  if (question.problem != dns::Rcode::kNoError) {
    co_return dns::respond(question, question.problem);
  }
  asio::awaitable<NameAnswer> work = answer_(question, from);
  NameAnswer answer = co_await std::move(work);
  if (answer.rcode == dns::Rcode::kRefused) answer.rcode = dns::refusal_for(question);
  co_return dns::respond(question, answer.rcode, answer.address, answer.prohibited);
}

asio::awaitable<void> NameServer::wait_for_room() {
  asio::error_code ignored;
  while (!closed_ && questions_ >= services_.limits.questions) {
    co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

asio::awaitable<void> NameServer::accept() {
  while (true) {
    co_await wait_for_slot();
    if (closed_) co_return;
    NameClient from;
    UniqueFd socket(::accept4(tcp_.fd(), reinterpret_cast<sockaddr*>(&from.address), &from.size,
                              SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket) {
      const bool works = co_await tcp_.wait_after(errno);
      if (!works) co_return;
      continue;
    }
    from.number = mark_of(socket.get());
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto client = std::make_unique<Stream>(services_.loop, std::move(socket));
    connections_.insert(client.get());
    ++services_.connections;
    spawn(serve_connection(std::move(client), from));
  }
}

asio::awaitable<void> NameServer::wait_for_slot() {
  asio::error_code ignored;
  while (!closed_) {
    if (connections_.size() >= services_.limits.question_connections) {
      co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    } else if (services_.connections >= services_.limits.all_connections) {
      co_await services_.slot_freed.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    } else {
      co_return;
    }
  }
}

asio::awaitable<void> NameServer::serve_connection(std::unique_ptr<Stream> client,
                                                   NameClient from) {
  Deadline deadline(services_.loop);
  const auto late = [stream = client.get()] { stream->cut(); };
  for (bool open = true; open;) {
    deadline.set(services_.limits.question, late);
    const std::string packet = co_await next_packet(*client);
    std::optional<dns::Question> question = dns::parse(bytes_of(packet));
    if (!question) break;
    deadline.clear();
    const bool malformed = question->problem == dns::Rcode::kFormErr;
    co_await wait_for_room();
    if (closed_) break;
    ++questions_;
    const std::string response = co_await response_to(std::move(*question), from);
    --questions_;
    changed_.cancel();
    if (closed_) break;
    deadline.set(services_.limits.question, late);
    const std::string framed = with_length(response);
    const bool written = co_await client->write_all(framed);
    open = written && !malformed && !client->is_cut();
  }
  connections_.erase(client.get());
  --services_.connections;
  services_.slot_freed.cancel();
  changed_.cancel();
}

}  // namespace sharkcage::egress
