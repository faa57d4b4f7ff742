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

}  // namespace

asio::awaitable<Handshake> shake_hands(Stream& client, const FindCall& find_call) {
  Inbox inbox;
  const auto greeting = co_await next(client, inbox, socks5::parse_greeting);
  if (greeting.status == socks5::Status::kMore) co_return left(inbox);
  if (greeting.socks4)
    co_return Refused{"SOCKS4, which carries no token", socks5::socks4_refusal()};
  if (greeting.status == socks5::Status::kMalformed) co_return Refused{"not SOCKS5", ""};
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
  std::string call = find_call(authentication.user_name);
  if (call.empty()) {
    // The order that admits it comes on another descriptor, and may not have been read yet.
    asio::steady_timer pause(co_await asio::this_coro::executor, kTokenPatience);
    co_await pause.async_wait(asio::use_awaitable);
    call = find_call(authentication.user_name);
  }
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
