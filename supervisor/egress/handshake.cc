#include "supervisor/egress/handshake.h"

#include <array>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "common/hash.h"
#include "common/text.h"
#include "supervisor/egress/http.h"

namespace sharkcage::egress {
namespace {

constexpr auto kTokenPatience = std::chrono::milliseconds(50);

// Bytes that have arrived and were not yet understood. Has room for the longest message, so a
// parser that wants more always gets it.
class Inbox {
 public:
  socks5::Bytes bytes() const { return {buffer_.data() + start_, end_ - start_}; }

  void consume(std::size_t size) {
    start_ += size;
    if (start_ == end_) return;
    std::memmove(buffer_.data(), buffer_.data() + start_, end_ - start_);
    end_ -= std::exchange(start_, 0);
  }

  // False at end of file, on an error and when the stream is cut.
  asio::awaitable<bool> more(Stream& client) {
    if (start_ == end_) start_ = end_ = 0;
    for (;;) {
      const ssize_t got = client.read(buffer_.data() + end_, buffer_.size() - end_);
      if (got > 0) {
        end_ += static_cast<std::size_t>(got);
        seen_ = true;
        co_return true;
      }
      if (got == 0 || errno != EAGAIN) co_return false;
      const bool ready = co_await client.readable();
      if (!ready) co_return false;
    }
  }

  bool seen() const { return seen_; }
  std::string rest() const {
    return {reinterpret_cast<const char*>(buffer_.data()) + start_, end_ - start_};
  }

 private:
  std::array<std::uint8_t, 2 * socks5::kMaxMessage> buffer_;
  std::size_t start_ = 0;
  std::size_t end_ = 0;
  bool seen_ = false;
};

// Parses one message, reading until it is whole. `kMore` in the result: the client left before.
template <class Message>
asio::awaitable<Message> next(Stream& client, Inbox& inbox, Message (*parse)(socks5::Bytes)) {
  for (;;) {
    Message message = parse(inbox.bytes());
    if (message.status == socks5::Status::kDone) inbox.consume(message.size);
    if (message.status != socks5::Status::kMore) co_return message;
    const bool got = co_await inbox.more(client);
    if (!got) co_return message;
  }
}

Handshake left(const Inbox& inbox) {
  if (!inbox.seen()) return Gone{};
  return Refused{"the client ended in the middle of its request", ""};
}

Requested requested(socks5::Request request, const Inbox& inbox) {
  Requested result;
  result.port = request.port;
  result.command = static_cast<socks5::Command>(request.command);
  result.early = inbox.rest();
  if (request.address) {
    result.host = request.address->to_string();
    result.destination = destination_from_address(*request.address, request.port);
  } else {
    result.host = printable(request.name);
    result.destination = destination_from_text(request.name, request.port);
  }
  return result;
}

// The head of a request. `kMore` in the result: the client left before. It is parsed when a line
// has ended, not with every byte that comes alone.
asio::awaitable<http::Head> next_head(Stream& client, std::string& bytes) {
  http::Head head;
  for (std::size_t known = 0;;) {
    if (bytes.find('\n', known) != std::string::npos || bytes.size() >= http::kMaxHead) {
      head = http::parse_head(bytes);
      if (head.status == http::Head::Status::kDone) bytes.erase(0, head.size);
      if (head.status != http::Head::Status::kMore) co_return head;
    }
    known = bytes.size();
    char block[4096];
    const ssize_t got = client.read(block, sizeof block);
    if (got > 0) {
      bytes.append(block, static_cast<std::size_t>(got));
      continue;
    }
    if (got == 0 || errno != EAGAIN) co_return head;
    const bool ready = co_await client.readable();
    if (!ready) co_return head;
  }
}

// A client that shows no credentials is asked for them once, on the same connection.
asio::awaitable<Handshake> speak_http(Stream& client, std::string bytes,
                                      const FindCall& find_call) {
  using Status = http::Head::Status;
  http::Head head = co_await next_head(client, bytes);
  if (head.status == Status::kDone && !head.credentials && !head.body) {
    const std::string question =
        http::response(407, "no token: it is the user name in the proxy's URL");
    const bool told = co_await client.write_all(question);
    if (!told) co_return Refused{"no token", ""};
    head = co_await next_head(client, bytes);
    if (head.status == Status::kMore) co_return Refused{"no token", ""};
  }
  if (head.status == Status::kMore)
    co_return Refused{"the client ended in the middle of its request", ""};
  if (head.status == Status::kMalformed) {
    std::string reply = http::response(head.error, head.problem);
    co_return Refused{"malformed request: " + head.problem, std::move(reply)};
  }
  Requested result;
  result.call = co_await find_patiently(find_call, head.token);
  if (result.call.empty()) {
    std::string reply = http::response(407, "the token is none of this proxy's, or no longer");
    co_return Refused{head.credentials ? "wrong token" : "no token", std::move(reply)};
  }
  result.protocol = head.tunnel ? Protocol::kHttpTunnel : Protocol::kHttpForward;
  result.host = printable(head.host);
  result.port = head.port;
  result.destination = destination_from_text(head.host, head.port);
  result.early = std::move(head.forward) + bytes;
  co_return result;
}

int http_status_of(socks5::Reply outcome) {
  return outcome == socks5::Reply::kNotAllowed ? 403 : 502;
}

}  // namespace

asio::awaitable<std::string> find_patiently(const FindCall& find_call, std::string token) {
  std::string call = find_call(token);
  if (!call.empty()) co_return call;
  asio::steady_timer pause(co_await asio::this_coro::executor, kTokenPatience);
  co_await pause.async_wait(asio::use_awaitable);
  co_return find_call(token);
}

std::string reply_to(Protocol protocol, socks5::Reply outcome, const std::string& why) {
  if (protocol == Protocol::kCaught) return "";
  if (protocol == Protocol::kSocks5) return socks5::request_reply(outcome);
  if (outcome != socks5::Reply::kSucceeded) return http::response(http_status_of(outcome), why);
  // Of a request that is forwarded, the server's own response is the answer.
  return protocol == Protocol::kHttpTunnel ? http::established() : "";
}

asio::awaitable<Handshake> shake_hands(Stream& client, const FindCall& find_call) {
  Inbox inbox;
  const bool spoken = co_await inbox.more(client);
  if (!spoken) co_return left(inbox);
  if (http::may_be_request(inbox.bytes().front())) {
    std::string bytes = inbox.rest();
    Handshake handshake = co_await speak_http(client, std::move(bytes), find_call);
    co_return handshake;
  }
  const auto greeting = co_await next(client, inbox, socks5::parse_greeting);
  if (greeting.status == socks5::Status::kMore) co_return left(inbox);
  if (greeting.socks4)
    co_return Refused{"SOCKS4, which carries no token", socks5::socks4_refusal()};
  if (greeting.status == socks5::Status::kMalformed)
    co_return Refused{"neither SOCKS5 nor HTTP", ""};
  if (!greeting.user_name) {
    co_return Refused{"no token: the client offers no user name", socks5::method_reply(false)};
  }
  const std::string accepted = socks5::method_reply(true);
  const bool told = co_await client.write_all(accepted);
  if (!told) co_return left(inbox);

  const auto authentication = co_await next(client, inbox, socks5::parse_authentication);
  if (authentication.status == socks5::Status::kMore) co_return left(inbox);
  if (authentication.status == socks5::Status::kMalformed) {
    co_return Refused{"malformed authentication", socks5::authentication_reply(false)};
  }
  const std::string call = co_await find_patiently(find_call, authentication.user_name);
  if (call.empty()) {
    co_return Refused{"wrong token", socks5::authentication_reply(false)};
  }
  const std::string welcome = socks5::authentication_reply(true);
  const bool welcomed = co_await client.write_all(welcome);
  if (!welcomed) co_return left(inbox);

  auto request = co_await next(client, inbox, socks5::parse_request);
  if (request.status == socks5::Status::kMore) co_return left(inbox);
  if (request.status == socks5::Status::kMalformed) {
    const auto reply =
        request.unknown_address ? socks5::Reply::kAddressNotSupported : socks5::Reply::kFailure;
    co_return Refused{"malformed request", socks5::request_reply(reply)};
  }
  Requested result = requested(std::move(request), inbox);
  result.call = call;
  co_return result;
}

}  // namespace sharkcage::egress
