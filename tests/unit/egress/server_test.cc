// The loop with a name server that an attacker owns, and with limits short enough to run into.

#include "supervisor/egress/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <asio/post.hpp>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "common/bytes.h"
#include "supervisor/egress/http.h"
#include "support.h"

namespace sharkcage::egress::testing {
namespace {

using ::testing::HasSubstr;

// Answers the n-th question for a name with its n-th list; keeps quiet when there is none.
class ScriptedResolver : public Resolver {
 public:
  explicit ScriptedResolver(asio::io_context& loop) : loop_(loop) {}

  void script(const std::string& name, std::vector<std::vector<std::string>> answers) {
    answers_[name] = std::move(answers);
  }

  void resolve(const std::string& name, std::function<void(Resolution)> done) override {
    auto& answers = answers_[name];
    const auto question = static_cast<std::size_t>(questions_++);
    if (question >= answers.size()) {
      unanswered_.push_back(std::move(done));
      return;
    }
    Resolution resolution;
    for (const std::string& text : answers[question]) {
      resolution.addresses.push_back(Address::parse(text).value());
    }
    if (resolution.addresses.empty()) resolution.error = "no such name";
    asio::post(loop_, [done = std::move(done), resolution] { done(resolution); });
  }

  int questions() const { return questions_; }

 private:
  asio::io_context& loop_;
  std::map<std::string, std::vector<std::vector<std::string>>> answers_;
  std::vector<std::function<void(Resolution)>> unanswered_;
  std::atomic<int> questions_{0};
};

class Running {
 public:
  explicit Running(EgressLimits limits = {}) : resolver(loop_) {
    auto [ours, theirs] = make_socketpair(SOCK_SEQPACKET);
    control_ = std::move(ours);
    server_.emplace(loop_, std::move(theirs), resolver, refused_, limits);
    server_->start(Ready{}, [this] { loop_.stop(); });
  }
  ~Running() {
    control_.reset();
    if (thread_.joinable()) thread_.join();
  }

  // After the resolver was scripted.
  void start() {
    thread_ = std::thread([this] { loop_.run(); });
  }

  std::uint16_t listen(std::vector<HostRule> hosts) {
    const Listening listening = listen_on();
    Listen order;
    order.id = ++last_id_;
    order.tokens = {{"call", kToken}};
    order.hosts = std::move(hosts);
    const int fd = listening.socket.get();
    send_with_fds(control_.get(), order_to_text(order), std::span(&fd, 1));
    return listening.port;
  }

  void send(const std::string& text) { send_with_fds(control_.get(), text, {}); }

  Connection next_connection() { return receive_connection(control_.get()); }

 private:
  asio::io_context loop_{1};
  RefusedCounts refused_;

 public:
  ScriptedResolver resolver;

 private:
  UniqueFd control_;
  std::optional<Server> server_;
  std::uint64_t last_id_ = 0;
  std::thread thread_;
};

UniqueFd connected(std::uint16_t port) {
  return connect_to("127.0.0.1", port);
}

TEST(Server, ARebindingNameIsJudgedAtEveryAnswerAndAskedOnce) {
  TestServer server(echo);
  Running running;
  running.resolver.script(
      "rebind.example",
      {{"127.0.0.1"}, {"::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "0.0.0.0", "::1"}});
  running.start();
  const std::uint16_t port = running.listen({{"rebind.example", server.port(), false}});
  const UniqueFd first = connected(port);
  EXPECT_EQ(ask(first.get(), request("rebind.example", server.port())), 2);
  EXPECT_EQ(running.resolver.questions(), 1);
  EXPECT_EQ(running.next_connection().address, "127.0.0.1");
  const UniqueFd second = connected(port);
  EXPECT_EQ(ask(second.get(), request("rebind.example", server.port())), 2);
  EXPECT_EQ(running.resolver.questions(), 2);
  for (int i = 0; i < 4; ++i) {
    const Connection event = running.next_connection();
    EXPECT_EQ(event.decision, Decision::kBlock) << event.address;
    EXPECT_EQ(event.phase, Phase::kClose) << event.address;
  }
  EXPECT_EQ(server.connections(), 0);
}

TEST(Server, WhatWasJudgedIsWhatIsDialled) {
  // The first answer is good; were the name asked again for the dial, the second would send it
  // elsewhere.
  TestServer wanted(echo);
  TestServer other([](int fd) { write_text(fd, "other"); }, "::1");
  Running running;
  running.resolver.script("rebind.example", {{"127.0.0.1"}, {"::1"}});
  running.start();
  const std::uint16_t port = running.listen({{"rebind.example", wanted.port(), true}});
  const UniqueFd client = connected(port);
  ASSERT_EQ(ask(client.get(), request("rebind.example", wanted.port())), 0);
  write_text(client.get(), "x");
  EXPECT_EQ(read_exactly(client.get(), 1), "x");
  EXPECT_EQ(running.resolver.questions(), 1);
  EXPECT_EQ(wanted.connections(), 1);
  EXPECT_EQ(other.connections(), 0);
}

TEST(Server, ARefusedNameIsNeverAsked) {
  Running running;
  running.start();
  const std::uint16_t port = running.listen({{"a.example", 443, false}, {"10.0.0.0/8", 443, true}});
  const UniqueFd client = connected(port);
  EXPECT_EQ(ask(client.get(), request("secret-bytes.evil.example", 443)), 2);
  EXPECT_EQ(running.resolver.questions(), 0);
}

TEST(Server, TheNextAddressIsTriedWhenOneFails) {
  TestServer server(echo);
  Running running;
  // Nobody listens on the other loopback addresses; the metadata address is skipped, not dialled.
  running.resolver.script("many.example", {{"169.254.169.254", "127.0.0.2", "127.0.0.1"}});
  running.start();
  const std::uint16_t port = running.listen({{"many.example", server.port(), true}});
  const UniqueFd client = connected(port);
  EXPECT_EQ(ask(client.get(), request("many.example", server.port())), 0);
  const Connection metadata = running.next_connection();
  EXPECT_EQ(metadata.decision, Decision::kBlock);
  EXPECT_THAT(metadata.reason, HasSubstr("metadata"));
  const Connection open = running.next_connection();
  const Connection refused = running.next_connection();
  EXPECT_EQ(open.address, "127.0.0.2");
  EXPECT_EQ(refused.reason, "Connection refused");
  EXPECT_EQ(refused.connection, open.connection);
  EXPECT_EQ(running.next_connection().address, "127.0.0.1");
}

TEST(Server, AClientThatNeverSpeaksIsPutOut) {
  EgressLimits limits;
  limits.handshake = std::chrono::milliseconds(50);
  Running running(limits);
  running.start();
  const std::uint16_t port = running.listen({{"a.example", 443, false}});
  const UniqueFd silent = connected(port);
  EXPECT_TRUE(has_ended(silent.get()));
  EXPECT_THAT(running.next_connection().reason, HasSubstr("handshake"));
  const UniqueFd slow = connected(port);
  write_text(slow.get(), "\x05");
  EXPECT_TRUE(has_ended(slow.get()));
  EXPECT_THAT(running.next_connection().reason, HasSubstr("handshake"));
}

TEST(Server, ASandboxThatTakesWhatItCanGetLeavesConnectionsToOthers) {
  TestServer server(echo);
  EgressLimits limits;
  limits.handshake = std::chrono::minutes(5);
  limits.all_connections = 16;
  Running running(limits);
  running.start();
  const std::vector<HostRule> rules = {{"localhost", server.port(), true}};
  std::vector<UniqueFd> held;
  for (int sandbox = 0; sandbox < 3; ++sandbox) {
    const std::uint16_t port = running.listen(rules);
    const UniqueFd client = connected(port);
    ASSERT_EQ(ask(client.get(), request("localhost", server.port())), 0) << sandbox;
    for (std::size_t i = 0; i < limits.all_connections; ++i) held.push_back(connected(port));
  }
}

TEST(Server, ANameServerThatKeepsQuietIsNoAnswer) {
  EgressLimits limits;
  limits.resolve = std::chrono::milliseconds(50);
  Running running(limits);
  running.resolver.script("quick.example", {});
  running.start();
  const std::uint16_t port = running.listen({{"*.example", 443, false}});
  for (int i = 0; i < 5; ++i) {
    const UniqueFd client = connected(port);
    EXPECT_EQ(ask(client.get(), request("slow.example", 443)), 4);
    EXPECT_THAT(running.next_connection().reason, HasSubstr("unresolvable"));
  }
  // No more of them are asked at once than one sandbox may.
  EXPECT_EQ(running.resolver.questions(), 2);
}

TEST(Server, AnIdleConnectionEnds) {
  TestServer server(echo);
  EgressLimits limits;
  limits.idle = std::chrono::milliseconds(100);
  Running running(limits);
  running.start();
  const std::uint16_t port = running.listen({{"localhost", server.port(), true}});
  const UniqueFd client = connected(port);
  ASSERT_EQ(ask(client.get(), request("localhost", server.port())), 0);
  EXPECT_TRUE(has_ended(client.get()));
  running.next_connection();
  EXPECT_THAT(running.next_connection().reason, HasSubstr("idle"));
}

TEST(Server, AnOrderThatIsNoneEndsTheProcess) {
  for (const char* text : {"{}", "nonsense", "{\"order\":\"close\",\"id\":\"1\"}"}) {
    asio::io_context loop(1);
    ScriptedResolver resolver(loop);
    auto [ours, theirs] = make_socketpair(SOCK_SEQPACKET);
    RefusedCounts refused;
    Server server(loop, std::move(theirs), resolver, refused, {});
    server.start(Ready{}, [] {});
    send_with_fds(ours.get(), text, {});
    EXPECT_ANY_THROW(loop.run()) << text;
  }
}

// A server of HTTP that answers with the head that it got.
void show_head(int fd) {
  std::string head;
  while (head.find("\r\n\r\n") == std::string::npos) {
    const std::string byte = read_exactly(fd, 1);
    if (byte.empty()) return;
    head += byte;
  }
  write_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(head.size()) +
                     "\r\nConnection: close\r\n\r\n" + head);
}

std::string credentials(const std::string& token) {
  return "Proxy-Authorization: Basic " + base64_encode(token + ":x") + "\r\n";
}

class Http : public ::testing::Test {
 protected:
  Http() : server_(show_head) {
    running_.resolver.script("a.example", {{"127.0.0.1"}, {"127.0.0.1"}});
    running_.resolver.script("gone.example", {{}});
    running_.start();
    port_ = running_.listen({{"a.example", server_.port(), true}, {"gone.example", 443, false}});
  }
  std::string target() const { return "a.example:" + std::to_string(server_.port()); }
  // Everything that comes back.
  std::string say(const std::string& text) const {
    const UniqueFd client = connected(port_);
    write_text(client.get(), text);
    return read_all(client.get());
  }

  TestServer server_;
  Running running_;
  std::uint16_t port_ = 0;
};

TEST_F(Http, ATunnelCarriesWhatFollows) {
  const std::string answer = say("CONNECT " + target() + " HTTP/1.1\r\n" + credentials(kToken) +
                                 "\r\nGET /secret HTTP/1.1\r\nHost: whoever\r\n\r\n");
  EXPECT_THAT(answer, ::testing::StartsWith("HTTP/1.1 200 Connection established\r\n\r\n"));
  EXPECT_THAT(answer, HasSubstr("GET /secret HTTP/1.1\r\nHost: whoever"));
  const Connection open = running_.next_connection();
  EXPECT_EQ(open.host, "a.example");
  EXPECT_EQ(open.phase, Phase::kOpen);
}

TEST_F(Http, ARequestGoesToTheHostOfItsTargetWhateverItsHostFieldSays) {
  const std::string answer =
      say("GET http://" + target() + "/path HTTP/1.1\r\nHost: evil.example\r\n" +
          credentials(kToken) + "\r\n");
  EXPECT_THAT(answer, HasSubstr("GET /path HTTP/1.1\r\nHost: " + target() + "\r\n"));
  EXPECT_THAT(answer, ::testing::Not(HasSubstr("evil")));
  EXPECT_THAT(answer, ::testing::Not(HasSubstr("uthorization")));
  EXPECT_EQ(server_.connections(), 1);
}

TEST_F(Http, ARefusalIsExplainedAndReported) {
  for (const std::string host :
       {"evil.example:443", "2130706433:80", "0177.0.0.1:80", "0x7f000001:80", "0x7f.1:80",
        "127.1:80", "127.0.0.1:80", "[::ffff:127.0.0.1]:80", "[::1]:80", "169.254.169.254:80",
        "2852039166:80", "A.EXAMPLE.:22", "xn--bcher-kva.example:443"}) {
    const std::string answer =
        say("CONNECT " + host + " HTTP/1.1\r\n" + credentials(kToken) + "\r\n");
    EXPECT_THAT(answer, ::testing::StartsWith("HTTP/1.1 403 Forbidden (sharkcage: " + host));
    // In the status line and in the body.
    EXPECT_THAT(answer, HasSubstr("\r\n\r\nsharkcage: " + host));
    EXPECT_EQ(running_.next_connection().decision, Decision::kBlock);
  }
  EXPECT_EQ(running_.resolver.questions(), 0);
}

// What a name server would be asked for is ASCII: so is what programs ask for.
TEST_F(Http, ANameInAnotherAlphabetIsRefused) {
  const std::string answer =
      say("CONNECT b\xc3\xbc"
          "cher.example:443 HTTP/1.1\r\n" +
          credentials(kToken) + "\r\n");
  EXPECT_THAT(answer, ::testing::StartsWith("HTTP/1.1 40"));
  EXPECT_EQ(running_.next_connection().decision, Decision::kBlock);
  EXPECT_EQ(running_.resolver.questions(), 0);
}

TEST_F(Http, WhatCannotBeReachedIsABadGateway) {
  const std::string answer =
      say("CONNECT gone.example:443 HTTP/1.1\r\n" + credentials(kToken) + "\r\n");
  EXPECT_THAT(answer, ::testing::StartsWith("HTTP/1.1 502 Bad Gateway (sharkcage: gone.example"));
  EXPECT_THAT(answer, HasSubstr("gone.example is unresolvable: no such name"));
}

// As libcurl does with any method of authentication, and so git.
TEST_F(Http, AsksForATokenOnceOnTheSameConnection) {
  const UniqueFd client = connected(port_);
  const std::string request = "CONNECT " + target() + " HTTP/1.1\r\n";
  write_text(client.get(), request + "\r\n");
  const std::string question =
      http::response(407, "no token: it is the user name in the proxy's URL");
  EXPECT_EQ(read_exactly(client.get(), question.size()), question);
  write_text(client.get(), request + credentials(kToken) + "\r\nGET / HTTP/1.1\r\n\r\n");
  EXPECT_THAT(read_all(client.get()), ::testing::StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(running_.next_connection().phase, Phase::kOpen);
}

TEST_F(Http, WithoutTheCallsTokenNothingIsServed) {
  const std::string request = "CONNECT " + target() + " HTTP/1.1\r\n";
  for (const std::string& fields :
       {credentials(kOtherToken), credentials(""), std::string("Proxy-Authorization: Bearer x\r\n"),
        std::string("Content-Length: 1\r\n")}) {
    EXPECT_THAT(say(request + fields + "\r\n"), ::testing::StartsWith("HTTP/1.1 407 ")) << fields;
    EXPECT_THAT(running_.next_connection().reason, HasSubstr("token"));
  }
  // The second time without one is the last.
  EXPECT_THAT(say(request + "\r\n" + request + "\r\n" + request + credentials(kToken) + "\r\n"),
              ::testing::Not(HasSubstr("200")));
  EXPECT_EQ(running_.next_connection().reason, "no token");
  EXPECT_EQ(server_.connections(), 0);
}

TEST_F(Http, TakesARequestByteByByte) {
  const UniqueFd client = connected(port_);
  const std::string request =
      "CONNECT " + target() + " HTTP/1.1\r\n" + credentials(kToken) + "\r\nGET / HTTP/1.1\r\n\r\n";
  for (const char byte : request) write_text(client.get(), std::string(1, byte));
  EXPECT_THAT(read_all(client.get()), ::testing::StartsWith("HTTP/1.1 200 "));
}

TEST_F(Http, AMalformedRequestGetsItsStatusAndAnEnd) {
  EXPECT_THAT(say("GET / HTTP/1.1\r\nHost: a.example\r\n" + credentials(kToken) + "\r\n"),
              ::testing::StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(say("GET https://a.example/ HTTP/1.1\r\n" + credentials(kToken) + "\r\n"),
              ::testing::StartsWith("HTTP/1.1 501 "));
  EXPECT_THAT(say(std::string(40'000, 'x')), ::testing::StartsWith("HTTP/1.1 431 "));
  for (int i = 0; i < 3; ++i)
    EXPECT_THAT(running_.next_connection().reason, HasSubstr("malformed"));
}

}  // namespace
}  // namespace sharkcage::egress::testing
