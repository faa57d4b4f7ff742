// What a deputy says of connections, and the connections that it is said of.

#include "supervisor/egress/link.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "common/errors.h"
#include "support.h"

namespace sharkcage::egress::testing {
namespace {

using std::chrono::milliseconds;

class NoResolver : public Resolver {
 public:
  void resolve(const std::string&, std::function<void(Resolution)>) override {
    ADD_FAILURE() << "a name was asked";
  }
};

class LinkTest : public ::testing::Test {
 protected:
  static constexpr milliseconds kHandshake{50};

  LinkTest() : channel_(loop_, make_socketpair(SOCK_SEQPACKET).first) {
    auto [ours, theirs] = make_socketpair(SOCK_SEQPACKET);
    deputy_ = std::move(ours);
    egress_ = std::move(theirs);
    services_.limits.handshake = kHandshake;
  }

  void begin() {
    link_.emplace(services_, UniqueFd(::fcntl(egress_.get(), F_DUPFD_CLOEXEC, 0)));
    asio::co_spawn(loop_, link_->run(), asio::detached);
  }
  // The egress has died.
  void end() {
    link_->close();
    loop_.run();
    loop_.restart();
    link_.reset();
  }

  // A connection from `port`; 0: from any.
  UniqueFd connect_from(std::uint16_t port = 0) {
    UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(client.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    EXPECT_EQ(::bind(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    address.sin_port = htons(listening_.port);
    EXPECT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return client;
  }
  static std::uint16_t port_of(const UniqueFd& client) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(client.get(), reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
  }
  static void reset(UniqueFd client) {
    const linger now{1, 0};
    ::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }

  void announce(std::uint16_t port, const std::string& host) {
    Announcement caught;
    caught.source = to_v6_bytes(*Address::parse("127.0.0.1"));
    caught.source_port = port;
    caught.host = to_host_field(host);
    ASSERT_EQ(::send(deputy_.get(), &caught, sizeof caught, 0),
              static_cast<ssize_t>(sizeof caught));
  }

  using Asked = std::shared_ptr<std::optional<std::string>>;

  // Accepts one and asks what it is for.
  Asked ask() {
    accepted_.push_back(accept_one(listening_.socket.get()));
    auto asked = std::make_shared<std::optional<std::string>>();
    asio::co_spawn(loop_, link_->announcement(accepted_.back().get()),
                   [asked](const std::exception_ptr&, const std::optional<Announcement>& caught) {
                     *asked = caught ? from_host_field(caught->host) : "nothing";
                   });
    return asked;
  }
  std::string answer(const Asked& asked) {
    while (!*asked) loop_.run_one();
    return **asked;
  }
  std::string what_for() { return answer(ask()); }

  asio::io_context loop_{1};
  NoResolver resolver_;
  Channel channel_;
  RefusedCounts refused_;
  Services services_{loop_, channel_, resolver_, refused_, {}};
  Listening listening_ = listen_on();
  UniqueFd deputy_;
  UniqueFd egress_;
  std::optional<Link> link_;
  std::vector<UniqueFd> accepted_;
};

TEST_F(LinkTest, TellsWhatAConnectionIsForBeforeAndAfterItComes) {
  begin();
  const UniqueFd before = connect_from();
  announce(port_of(before), "before.example");
  EXPECT_EQ(what_for(), "before.example");
  const UniqueFd after = connect_from();
  auto asked = ask();
  loop_.poll();
  announce(port_of(after), "after.example");
  EXPECT_EQ(answer(asked), "after.example");
  const UniqueFd never = connect_from();
  EXPECT_EQ(what_for(), "nothing");
}

// Otherwise the next one from that port could be taken for it.
TEST_F(LinkTest, LeavesNothingOverOfAConnectionThatWasReset) {
  begin();
  UniqueFd first = connect_from();
  const std::uint16_t port = port_of(first);
  announce(port, "first.example");
  reset(std::move(first));
  EXPECT_EQ(what_for(), "nothing");
  const UniqueFd second = connect_from(port);
  auto asked = ask();
  loop_.poll();
  announce(port, "second.example");
  EXPECT_EQ(answer(asked), "second.example");
}

TEST_F(LinkTest, TellsTheOneThatIsThereFromThoseThatWereReset) {
  begin();
  UniqueFd first = connect_from();
  const std::uint16_t port = port_of(first);
  announce(port, "first.example");
  reset(std::move(first));
  UniqueFd second = connect_from(port);
  announce(port, "second.example");
  reset(std::move(second));
  const UniqueFd third = connect_from(port);
  announce(port, "third.example");
  EXPECT_EQ(what_for(), "nothing");
  EXPECT_EQ(what_for(), "nothing");
  EXPECT_EQ(what_for(), "third.example");
}

// A sandbox with all connections that it may have.
TEST_F(LinkTest, KeepsWhatWasSaidUntilTheConnectionIsAccepted) {
  begin();
  const UniqueFd client = connect_from();
  announce(port_of(client), "patient.example");
  loop_.run_for(3 * kHandshake);
  EXPECT_EQ(what_for(), "patient.example");
}

TEST_F(LinkTest, ForgetsWhatAnEgressBeforeWasToldOf) {
  const UniqueFd client = connect_from();
  announce(port_of(client), "before.example");
  announce(1, "died.example");
  begin();
  EXPECT_EQ(what_for(), "before.example");
  end();
  const UniqueFd late = connect_from();
  announce(port_of(late), "late.example");
  begin();
  loop_.run_for(3 * kHandshake);
  EXPECT_EQ(what_for(), "nothing");
}

TEST_F(LinkTest, HoldsNoMoreThanThereCanBe) {
  begin();
  for (unsigned i = 0; i < 70000; ++i) {
    announce(static_cast<std::uint16_t>(i), "many.example");
    if (i % 64 == 0) loop_.poll();
  }
  const UniqueFd client = connect_from();
  announce(port_of(client), "last.example");
  EXPECT_EQ(what_for(), "last.example");
}

}  // namespace
}  // namespace sharkcage::egress::testing
