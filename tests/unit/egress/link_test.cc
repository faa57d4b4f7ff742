// What a deputy says of connections, by their numbers.

#include "supervisor/egress/link.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <optional>

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
    begin();
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

  void announce(std::uint32_t number, const std::string& host, NetworkFd to = kCaughtFd) {
    Announcement caught;
    caught.to = to;
    caught.number = number;
    caught.host = to_host_field(host);
    caught.program = {'p'};
    ASSERT_EQ(::send(deputy_.get(), &caught, sizeof caught, 0),
              static_cast<ssize_t>(sizeof caught));
  }

  using Asked = std::shared_ptr<std::optional<std::string>>;

  Asked ask(std::uint32_t number) {
    auto asked = std::make_shared<std::optional<std::string>>();
    asio::co_spawn(loop_, link_->announcement(number),
                   [asked](const std::exception_ptr&, const std::optional<Announcement>& caught) {
                     *asked = caught ? from_host_field(caught->host) : "nothing";
                   });
    return asked;
  }
  std::string answer(const Asked& asked) {
    while (!*asked) loop_.run_one();
    return **asked;
  }
  std::string what_for(std::uint32_t number) { return answer(ask(number)); }

  asio::io_context loop_{1};
  NoResolver resolver_;
  Channel channel_;
  RefusedCounts refused_;
  Services services_{loop_, channel_, resolver_, refused_, {}};
  UniqueFd deputy_;
  UniqueFd egress_;
  std::optional<Link> link_;
};

TEST_F(LinkTest, TellsWhatAConnectionIsForBeforeAndAfterItComes) {
  announce(1, "before.example");
  EXPECT_EQ(what_for(1), "before.example");
  auto asked = ask(2);
  loop_.poll();
  announce(2, "after.example");
  EXPECT_EQ(answer(asked), "after.example");
  EXPECT_EQ(what_for(3), "nothing");
}

// A connection that was reset may never be there to be accepted.
TEST_F(LinkTest, TakesNothingThatWasSaidOfAnother) {
  announce(1, "first.example");
  auto asked = ask(2);
  loop_.poll();
  announce(2, "second.example");
  EXPECT_EQ(answer(asked), "second.example");
  EXPECT_EQ(what_for(2), "nothing");
}

TEST_F(LinkTest, SaysAtOnceThatAConnectionWithoutANumberIsNobodys) {
  auto asked = ask(0);
  loop_.poll();
  EXPECT_EQ(asked->value_or("still waiting"), "nothing");
}

// A sandbox with all connections that it may have.
TEST_F(LinkTest, KeepsWhatWasSaidUntilTheConnectionIsAccepted) {
  announce(1, "patient.example");
  loop_.run_for(3 * kHandshake);
  EXPECT_TRUE(link_->awaits_connection());
  EXPECT_EQ(what_for(1), "patient.example");
  EXPECT_FALSE(link_->awaits_connection());
}

TEST_F(LinkTest, HearsWhatAnEgressBeforeHasNotHeard) {
  end();
  announce(1, "late.example");
  begin();
  EXPECT_EQ(what_for(1), "late.example");
}

// Nor does what goes to the proxy push out what is caught.
TEST_F(LinkTest, HoldsNoMoreThanThereCanBe) {
  announce(100'000, "kept.example");
  for (std::uint32_t number = 1; number < 10'000; ++number) {
    announce(number, "", kProxyFd);
    if (number % 64 == 0) loop_.poll();
  }
  EXPECT_EQ(link_->program_of(9'999), "p");
  EXPECT_EQ(link_->program_of(1), "");
  EXPECT_EQ(what_for(100'000), "kept.example");
  for (std::uint32_t number = 1; number < 10'000; ++number) {
    announce(number, "many.example");
    if (number % 64 == 0) loop_.poll();
  }
  EXPECT_EQ(what_for(9'999), "many.example");
  EXPECT_EQ(what_for(1), "nothing");
}

}  // namespace
}  // namespace sharkcage::egress::testing
