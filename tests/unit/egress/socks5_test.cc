#include "supervisor/egress/socks5.h"

#include <gtest/gtest.h>

namespace sharkcage::egress::socks5 {
namespace {

Bytes bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Every prefix of a whole message asks for more, and bytes behind it are left alone.
template <class Message>
void expect_incremental(Message (*parse)(Bytes), const std::string& whole) {
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    const std::string prefix = whole.substr(0, cut);
    EXPECT_EQ(parse(bytes(prefix)).status, Status::kMore) << cut;
  }
  for (const std::string& behind : {std::string(), std::string("\x00\xFFmore", 6)}) {
    const std::string text = whole + behind;
    const Message message = parse(bytes(text));
    EXPECT_EQ(message.status, Status::kDone);
    EXPECT_EQ(message.size, whole.size());
  }
}

TEST(Socks5, MessagesAreReadIncrementally) {
  expect_incremental(parse_greeting, std::string("\x05\x03\x00\x01\x02", 5));
  expect_incremental(parse_greeting, std::string("\x05\x00", 2));
  expect_incremental(parse_authentication, std::string("\x01\x03"
                                                       "abc"
                                                       "\x02xy"));
  expect_incremental(parse_authentication, std::string("\x01\x00\x00", 3));
  expect_incremental(parse_authentication,
                     "\x01\xFF" + std::string(255, 'u') + "\xFF" + std::string(255, 'p'));
  expect_incremental(parse_request, std::string("\x05\x01\x00\x01\x7F\x00\x00\x01\x00\x50", 10));
  expect_incremental(parse_request, std::string("\x05\x01\x00\x03\x01x\x01\xBB", 8));
  expect_incremental(parse_request, std::string("\x05\x01\x00\x03\x00\x01\xBB", 7));
  expect_incremental(parse_request,
                     std::string("\x05\x01\x00\x04", 4) + std::string(15, '\0') + "\x01\x01\xBB");
}

TEST(Socks5, ARequestSaysWhereTo) {
  const Request name = parse_request(bytes(std::string("\x05\x01\x00\x03\x04host\x01\xBB", 11)));
  EXPECT_EQ(name.name, "host");
  EXPECT_EQ(name.port, 443);
  EXPECT_EQ(name.command, 1);
  EXPECT_FALSE(name.address);
  const Request v4 =
      parse_request(bytes(std::string("\x05\x02\x00\x01\x01\x02\x03\x04\xFF\xFF", 10)));
  EXPECT_EQ(v4.address->to_string(), "1.2.3.4");
  EXPECT_EQ(v4.port, 65535);
  EXPECT_EQ(v4.command, 2);
}

TEST(Socks5, AGreetingSaysWhetherATokenCanCome) {
  EXPECT_TRUE(parse_greeting(bytes(std::string("\x05\x02\x00\x02", 4))).user_name);
  EXPECT_FALSE(parse_greeting(bytes(std::string("\x05\x02\x00\x01", 4))).user_name);
  EXPECT_TRUE(parse_greeting(bytes("\x04")).socks4);
}

TEST(Socks5, OtherMessagesAreMalformedAsSoonAsThatIsSeen) {
  EXPECT_EQ(parse_greeting(bytes("GET / HTTP/1.1")).status, Status::kMalformed);
  EXPECT_EQ(parse_authentication(bytes("\x05")).status, Status::kMalformed);
  EXPECT_EQ(parse_request(bytes("\x04")).status, Status::kMalformed);
  EXPECT_EQ(parse_request(bytes("\x05\x01\x01")).status, Status::kMalformed);
  const Request type = parse_request(bytes(std::string("\x05\x01\x00\x02\x00", 5)));
  EXPECT_EQ(type.status, Status::kMalformed);
  EXPECT_TRUE(type.unknown_address);
}

TEST(Socks5, RepliesAreTheRfcs) {
  EXPECT_EQ(method_reply(true), "\x05\x02");
  EXPECT_EQ(method_reply(false), "\x05\xFF");
  EXPECT_EQ(authentication_reply(true), std::string("\x01\x00", 2));
  EXPECT_EQ(authentication_reply(false), "\x01\x01");
  EXPECT_EQ(request_reply(Reply::kNotAllowed),
            std::string("\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00", 10));
  EXPECT_EQ(socks4_refusal(), std::string("\x00\x5B\x00\x00\x00\x00\x00\x00", 8));
}

}  // namespace
}  // namespace sharkcage::egress::socks5
