// The names of a sandbox through the whole egress: what is asked inside, what is looked up outside,
// what the deputy is told, what is recorded.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <asio/post.hpp>
#include <map>
#include <mutex>
#include <thread>

#include "capabilities/caught.h"
#include "dns_message.h"
#include "supervisor/egress/server.h"
#include "support.h"

namespace sharkcage::egress::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Knows some names; no others exist, but for those below "broken", of which nobody knows.
class Zone : public Resolver {
 public:
  explicit Zone(asio::io_context& loop) : loop_(loop) {}

  void resolve(const std::string& name, std::function<void(Resolution)> done) override {
    Resolution resolution;
    if (name.ends_with("known.example")) {
      resolution.addresses = {Address::parse("192.0.2.7").value()};
    } else {
      resolution.error = "no answer of use";
      resolution.no_such_name = !name.ends_with("broken.example");
    }
    {
      const std::scoped_lock lock(mutex_);
      asked_.push_back(name);
    }
    asio::post(loop_, [done = std::move(done), resolution] { done(resolution); });
  }

  std::vector<std::string> asked() {
    const std::scoped_lock lock(mutex_);
    return asked_;
  }

 private:
  asio::io_context& loop_;
  std::mutex mutex_;
  std::vector<std::string> asked_;
};

UniqueFd bound_udp() {
  UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) != 0) {
    ADD_FAILURE() << "bind failed";
  }
  return socket;
}

// A socket of a command, connected to the name server.
UniqueFd client_of(const UniqueFd& server) {
  sockaddr_in where{};
  socklen_t size = sizeof where;
  ::getsockname(server.get(), reinterpret_cast<sockaddr*>(&where), &size);
  UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ::connect(socket.get(), reinterpret_cast<sockaddr*>(&where), sizeof where);
  return socket;
}

bool is_readable(int fd, std::chrono::milliseconds patience = kPatience) {
  pollfd wait{fd, POLLIN, 0};
  return ::poll(&wait, 1, static_cast<int>(patience.count())) > 0;
}

class Names : public ::testing::Test {
 protected:
  Names() : zone_(loop_) {
    auto [ours, theirs] = make_socketpair(SOCK_SEQPACKET);
    control_ = std::move(ours);
    server_.emplace(loop_, std::move(theirs), zone_, refused_, EgressLimits());
    server_->start(Ready{}, [this] { loop_.stop(); });
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Names() override {
    control_.reset();
    thread_.join();
  }

  void listen(std::vector<HostRule> hosts, std::vector<std::string> deny = {}) {
    const UniqueFd proxy = listen_on().socket;
    const UniqueFd caught = listen_on().socket;
    const UniqueFd names = bound_udp();
    const UniqueFd names_stream = listen_on().socket;
    auto [deputy, link] = make_socketpair(SOCK_SEQPACKET);
    Listen order;
    order.id = 1;
    order.sockets = Sockets::kAll;
    order.tokens = {{"call", kToken}};
    order.hosts = std::move(hosts);
    order.deny_hosts = std::move(deny);
    const int fds[] = {proxy.get(), caught.get(), names.get(), names_stream.get(), link.get()};
    send_with_fds(control_.get(), order_to_text(order), fds);
    deputy_ = std::move(deputy);
    client_ = client_of(names);
  }

  Response ask(const Asked& asked) {
    write_text(client_.get(), asked.packet());
    if (!is_readable(client_.get())) return Response();
    char packet[dns::kMaxResponse];
    const ssize_t got = ::recv(client_.get(), packet, sizeof packet, 0);
    return read_response({packet, static_cast<std::size_t>(got)});
  }
  Response ask(const std::string& name, unsigned type = ns_t_a) {
    Asked asked;
    asked.name = wire_name(name);
    asked.type = type;
    return ask(asked);
  }

  Connection next_event() { return receive_connection(control_.get()); }

  // The next one of that host.
  Connection event_of(const std::string& host) {
    Connection event = next_event();
    while (!event.host.empty() && event.host != host) event = next_event();
    return event;
  }

  // What the deputy was told before the answer came.
  std::optional<NameMeaning> told() {
    NameMeaning meaning;
    const ssize_t size = ::recv(deputy_.get(), &meaning, sizeof meaning, MSG_DONTWAIT);
    if (size != sizeof meaning) return std::nullopt;
    return meaning;
  }

  asio::io_context loop_{1};
  Zone zone_;
  UniqueFd control_;
  UniqueFd deputy_;
  UniqueFd client_;
  RefusedCounts refused_;
  std::optional<Server> server_;
  std::thread thread_;
};

// 180 bytes of a secret, in labels as long as they may be.
std::string secret_below(const std::string& zone) {
  return std::string(60, 'a') + "." + std::string(60, 'b') + "." + std::string(60, 'c') + "." +
         zone;
}

TEST_F(Names, AnApprovedOneGetsAnAddressThatStandsForItAndTheDeputyKnowsItFirst) {
  listen({{"known.example", 443, false}});
  const Response v4 = ask("Known.Example");
  const auto meaning = told();
  ASSERT_TRUE(meaning);
  EXPECT_EQ(from_host_field(meaning->name), "known.example");
  const auto expected = [](const Address& address) {
    const auto bytes = address.bytes();
    return std::string(bytes.begin(), bytes.end());
  };
  EXPECT_THAT(v4.addresses, ElementsAre(expected(synthetic_v4(meaning->number))));
  const Response v6 = ask("known.example", ns_t_aaaa);
  EXPECT_THAT(v6.addresses, ElementsAre(expected(synthetic_v6(meaning->number))));
  const Connection event = next_event();
  EXPECT_EQ(event.protocol, "dns");
  EXPECT_EQ(event.host, "Known.Example");
  EXPECT_EQ(event.address, "192.0.2.7");
  EXPECT_EQ(event.decision, Decision::kAllow);
  // The second question had its answer from the first.
  EXPECT_THAT(zone_.asked(), ElementsAre("known.example"));
}

TEST_F(Names, DataInANameThatIsNotApprovedLeavesNothingBehindButARecord) {
  listen({{"known.example", 443, false}});
  for (const std::string& zone : {std::string("evil.test"), std::string("known.example"),
                                  std::string("known.example.evil.test")}) {
    const std::string name = secret_below(zone);
    for (const unsigned type : {ns_t_a, ns_t_aaaa, ns_t_txt, ns_t_null, ns_t_mx, ns_t_any}) {
      const Response response = ask(name, type);
      EXPECT_EQ(response.code, 3u) << name;
      EXPECT_THAT(response.addresses, IsEmpty());
    }
    Asked explained;
    explained.name = wire_name(name);
    EXPECT_EQ(ask(explained.with_opt()).code, 5u);
    EXPECT_EQ(event_of(name).decision, Decision::kBlock);
  }
  EXPECT_THAT(zone_.asked(), IsEmpty());
  EXPECT_FALSE(told());
}

// The approval of a whole zone is one of its name servers: that is what it says, and what the
// record shows.
TEST_F(Names, BelowAnApprovedZoneANameIsAskedForAndOnRecordInFull) {
  listen({{"*.known.example", 443, false}}, {"denied.known.example"});
  const std::string name = secret_below("known.example");
  EXPECT_EQ(ask(name).addresses.size(), 1u);
  const Connection event = next_event();
  EXPECT_EQ(event.host, name);
  EXPECT_EQ(event.rule, "*.known.example:443");
  EXPECT_EQ(ask("known.example").code, 3u);
  EXPECT_EQ(ask("denied.known.example").code, 3u);
  EXPECT_THAT(zone_.asked(), ElementsAre(name));
}

TEST_F(Names, OtherRecordsOfAnApprovedNameAreNotAskedFor) {
  listen({{"known.example", 443, false}});
  for (const unsigned type : {ns_t_txt, ns_t_mx, ns_t_null, ns_t_any}) {
    const Response response = ask("known.example", type);
    EXPECT_EQ(response.code, 0u);
    EXPECT_THAT(response.addresses, IsEmpty());
  }
  // Its addresses were, once, so that who only asks for others learns whether it exists.
  EXPECT_THAT(zone_.asked(), ElementsAre("known.example"));
}

TEST_F(Names, WhatOnlyLooksLikeAnApprovedNameIsNone) {
  listen({{"known.example", 443, false}, {"10.0.0.1", 443, true}});
  Asked asked;
  asked.name = std::string("\x0Dknown.example", 14) + '\0';
  EXPECT_EQ(ask(asked).code, 3u);
  EXPECT_EQ(event_of("known\\x2eexample").decision, Decision::kBlock);
  asked.name = std::string("\x06known\x00\x07", 8) + "example" + '\0';
  EXPECT_EQ(ask(asked).code, 3u);
  EXPECT_EQ(event_of("known\\x00.example").decision, Decision::kBlock);
  asked = Asked();
  asked.name = wire_name("known.example");
  asked.class_of_data = ns_c_chaos;
  EXPECT_EQ(ask(asked).code, 3u);
  EXPECT_EQ(ask("10.0.0.1").code, 3u);
  EXPECT_THAT(zone_.asked(), IsEmpty());
}

TEST_F(Names, WhatCannotBeResolvedSaysSo) {
  listen({{"*.example", 443, false}});
  EXPECT_EQ(ask("missing.example").code, 3u);
  EXPECT_EQ(next_event().decision, Decision::kAllow);
  EXPECT_EQ(ask("broken.example").code, 2u);
  EXPECT_EQ(next_event().reason, "unresolvable: no answer of use");
  EXPECT_FALSE(told());
}

}  // namespace
}  // namespace sharkcage::egress::testing
