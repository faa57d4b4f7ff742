#include "supervisor/egress/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/bytes.h"

namespace sharkcage::egress::http {
namespace {

using Status = Head::Status;
using ::testing::HasSubstr;
using ::testing::Not;

std::string with_fields(const std::string& line, const std::string& fields = "") {
  return line + "\r\n" + fields + "\r\n";
}

int error_of(const std::string& line, const std::string& fields = "") {
  const Head head = parse_head(with_fields(line, fields));
  return head.status == Status::kMalformed ? head.error : 0;
}

TEST(Http, ATunnelNamesHostAndPort) {
  const std::string text = with_fields("CONNECT Example.COM:443 HTTP/1.1",
                                       "Host: other.example\r\nProxy-Authorization: Basic " +
                                           base64_encode("t0ken:x") + "\r\n") +
                           "bytes sent ahead";
  const Head head = parse_head(text);
  ASSERT_EQ(head.status, Status::kDone) << head.problem;
  EXPECT_TRUE(head.tunnel);
  EXPECT_EQ(head.host, "Example.COM");
  EXPECT_EQ(head.port, 443u);
  EXPECT_EQ(head.token, "t0ken");
  EXPECT_EQ(text.substr(head.size), "bytes sent ahead");
  EXPECT_EQ(parse_head(with_fields("CONNECT [::1]:8 HTTP/1.1")).host, "::1");
}

TEST(Http, TheServerGetsTheJudgedHostAndNothingOfTheProxys) {
  const Head head = parse_head(with_fields(
      "POST HTTP://a.example:8080/path?q=1 HTTP/1.1",
      "Host: b.example\r\nProxy-Authorization: Basic dDp4\r\nproxy-connection: keep-alive\r\n"
      "Connection: keep-alive, X-Mine, content-length\r\nX-Mine: 1\r\nX-Other: 2\r\n"
      "Content-Length: 3\r\nUpgrade: h2c\r\n"));
  ASSERT_EQ(head.status, Status::kDone) << head.problem;
  EXPECT_FALSE(head.tunnel);
  EXPECT_TRUE(head.body);
  EXPECT_EQ(head.host, "a.example");
  EXPECT_EQ(head.port, 8080u);
  EXPECT_EQ(head.forward,
            "POST /path?q=1 HTTP/1.1\r\nHost: a.example:8080\r\nX-Other: 2\r\n"
            "Content-Length: 3\r\nConnection: close\r\n\r\n");
}

TEST(Http, APathMayBeMissing) {
  const auto first_line = [](const std::string& line) {
    const Head head = parse_head(with_fields(line));
    return head.forward.substr(0, head.forward.find('\r'));
  };
  EXPECT_EQ(first_line("GET http://a.example HTTP/1.1"), "GET / HTTP/1.1");
  EXPECT_EQ(first_line("GET http://a.example?q HTTP/1.0"), "GET /?q HTTP/1.0");
  EXPECT_EQ(first_line("OPTIONS http://a.example HTTP/1.1"), "OPTIONS * HTTP/1.1");
  EXPECT_EQ(parse_head(with_fields("GET http://a.example:/ HTTP/1.1")).port, 80u);
}

TEST(Http, RefusesWhatItCannotBeSureOf) {
  EXPECT_EQ(error_of("GET / HTTP/1.1"), 400);
  EXPECT_EQ(error_of("GET https://a.example/ HTTP/1.1"), 501);
  EXPECT_EQ(error_of("GET ftp://a.example/ HTTP/1.1"), 501);
  EXPECT_EQ(error_of("GET http://a.example/ HTTP/2.0"), 505);
  EXPECT_EQ(error_of("GET http://a.example/"), 400);
  EXPECT_EQ(error_of("GET  http://a.example/ HTTP/1.1"), 400);
  EXPECT_EQ(error_of("GET http://a.example/a b HTTP/1.1"), 400);
  EXPECT_EQ(error_of("GET http://user@a.example/ HTTP/1.1"), 400);
  EXPECT_EQ(error_of("GET http://a.example/#b HTTP/1.1"), 400);
  EXPECT_EQ(error_of("GET http://a.example#@b.example/ HTTP/1.1"), 400);
  EXPECT_EQ(error_of("GET http:///path HTTP/1.1"), 400);
  EXPECT_EQ(error_of("GET http://a.example:0/ HTTP/1.1"), 400);
  EXPECT_EQ(error_of("GET http://a.example:65536/ HTTP/1.1"), 400);
  EXPECT_EQ(error_of("GET http://::1/ HTTP/1.1"), 400);
  EXPECT_EQ(error_of("GET http://[::1/ HTTP/1.1"), 400);
  EXPECT_EQ(error_of("GET http://[::1]x/ HTTP/1.1"), 400);
  EXPECT_EQ(error_of("CONNECT a.example HTTP/1.1"), 400);
  EXPECT_EQ(error_of("CONNECT a.example: HTTP/1.1"), 400);
  EXPECT_EQ(error_of("CONNECT :443 HTTP/1.1"), 400);
  EXPECT_EQ(error_of("CONNECT a.example:+443 HTTP/1.1"), 400);
  const std::string good = "GET http://a.example/ HTTP/1.1";
  EXPECT_EQ(error_of(good, "Name : value\r\n"), 400);
  EXPECT_EQ(error_of(good, "Name: value\r\n goes on\r\n"), 400);
  EXPECT_EQ(error_of(good, "no field\r\n"), 400);
  EXPECT_EQ(error_of(good, "A: b\nHost: c\r\n"), 400);
  EXPECT_EQ(error_of(good, "A: b\rHost: c\r\n"), 400);
  EXPECT_EQ(error_of(good, std::string("A: b\0c\r\n", 8)), 400);
  EXPECT_EQ(error_of(good, "Content-Length: 1\r\nContent-Length: 1\r\n"), 400);
  EXPECT_EQ(error_of(good, "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400);
  EXPECT_EQ(error_of(good, "Content-Length: -1\r\n"), 400);
  EXPECT_EQ(error_of(good, "Transfer-Encoding: gzip, chunked\r\n"), 501);
  EXPECT_EQ(error_of(good, "Proxy-Authorization: Basic YQ==\r\nproxy-authorization: x\r\n"), 400);
  std::string many;
  for (int i = 0; i < 201; ++i) many += "A: b\r\n";
  EXPECT_EQ(error_of(good, many), 431);
  EXPECT_EQ(parse_head(std::string(kMaxHead, 'A')).error, 431);
}

TEST(Http, CredentialsOfAnotherKindAreNoToken) {
  const auto token_of = [](const std::string& value) {
    return parse_head(with_fields("CONNECT a:1 HTTP/1.1", "Proxy-Authorization: " + value + "\r\n"))
        .token;
  };
  EXPECT_EQ(token_of("bAsIc  dDBrZW46eA=="), "t0ken");
  EXPECT_EQ(token_of("Basic dDBrZW4="), "t0ken");
  EXPECT_EQ(token_of("Bearer t0ken"), "");
  EXPECT_EQ(token_of("Basic not base64"), "");
  EXPECT_EQ(token_of("Basic"), "");
}

TEST(Http, TheAnswerIsTheSameHoweverTheBytesCome) {
  const std::string text =
      with_fields("GET http://a.example/ HTTP/1.1", "A: b\r\nC: d\r\n") + "more";
  const Head whole = parse_head(text);
  ASSERT_EQ(whole.status, Status::kDone);
  for (std::size_t size = 0; size < text.size(); ++size) {
    const Head part = parse_head(text.substr(0, size));
    EXPECT_EQ(part.status, size < whole.size ? Status::kMore : Status::kDone) << size;
  }
}

TEST(Http, OnlyTheQuestionForATokenLeavesTheConnectionOpen) {
  EXPECT_THAT(response(407, ""), HasSubstr("Proxy-Authenticate: Basic"));
  EXPECT_THAT(response(407, ""), Not(HasSubstr("Connection: close")));
  EXPECT_THAT(response(403, "no"), HasSubstr("Content-Length: 14\r\nConnection: close\r\n\r\n"
                                             "sharkcage: no\n"));
}

TEST(Http, TheReasonInTheStatusLineEndsNoLine) {
  EXPECT_THAT(
      response(403, "a\r\nb\x7f\xc3\xbc c"),
      ::testing::StartsWith("HTTP/1.1 403 Forbidden (sharkcage: a??b??? c)\r\nContent-Type: "));
  EXPECT_THAT(response(407, ""),
              ::testing::StartsWith("HTTP/1.1 407 Proxy Authentication Required\r\n"));
}

}  // namespace
}  // namespace sharkcage::egress::http
