// What the monitor does with what keepers tell it; the test is PID 1 and the keepers.
#include "supervisor/sandbox/commands.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "supervisor/sandbox/init_channel.h"

namespace sharkcage::sandbox {
namespace {

class Keepers : public ::testing::Test {
 protected:
  Keepers() : watch_("sc-test-" + std::to_string(::getpid()), Limits{}) {
    commands_.hold_to(watch_, 1u << 20);
    auto [monitor, init] = make_socketpair(SOCK_SEQPACKET);
    monitor_ = std::move(monitor);
    init_ = std::move(init);
    commands_.attach(monitor_.get());
  }

  // Starts command `id`, with a terminal, and returns its new keeper's channel.
  UniqueFd start(std::uint64_t id) {
    std::vector<UniqueFd> fds;
    for (std::size_t i = 0; i < kStdinFd; ++i) fds.emplace_back(::dup(init_.get()));
    EXPECT_TRUE(commands_.run({{"id", id}}, std::move(fds)));
    InitOrder order;
    std::vector<UniqueFd> passed;
    EXPECT_EQ(recv_with_fds(init_.get(), reinterpret_cast<char*>(&order), sizeof order, passed,
                            MSG_DONTWAIT),
              static_cast<ssize_t>(sizeof order));
    EXPECT_EQ(order.kind, InitOrder::kKeep);
    return passed.empty() ? UniqueFd() : std::move(passed.front());
  }
  static void tell_session(const UniqueFd& keeper, pid_t session) {
    InitReport report;
    report.kind = InitReport::kKeeper;
    report.session = session;
    EXPECT_TRUE(send_report(keeper.get(), report));
  }
  static void tell_returned(const UniqueFd& keeper) {
    InitReport report;
    report.kind = InitReport::kReturned;
    report.over = true;
    EXPECT_TRUE(send_report(keeper.get(), report));
  }
  void refuse(const std::string& target, pid_t session) {
    Refusal refusal;
    refusal.operation = "write";
    refusal.target = target;
    refusal.command = session;
    refused_.refusals.push_back(std::move(refusal));
  }
  void hear() {
    std::vector<pollfd> events;
    commands_.add_to(events);
    ::poll(events.data(), events.size(), 0);
    commands_.hear(events);
  }

  LimitWatch watch_;
  UniqueFd monitor_;
  UniqueFd init_;
  RefusalTable::Taken refused_;
  std::map<std::uint64_t, std::vector<std::string>> told_;  // targets, by the command
  Commands commands_{{[this](const Json& event, const std::vector<UniqueFd>& fds) {
                        auto& targets = told_[event.at("id")];
                        for (const UniqueFd& fd : fds) {
                          for (const Refusal& refusal : unpack(fd.get()).refusals) {
                            targets.push_back(refusal.target);
                          }
                        }
                      },
                      [](const std::string& reason) { ADD_FAILURE() << reason; },
                      [this] { return std::exchange(refused_, {}); }, [] { return true; }}};
};

// A busy monitor hears in one go that a command has returned and of the keeper of a later one.
TEST_F(Keepers, AreKnownBeforeWhatWasRefusedToTheirCommandsIsBooked) {
  const UniqueFd first = start(1);
  tell_session(first, 10);
  hear();
  const UniqueFd second = start(2);
  tell_session(second, 20);
  refuse("/first", 10);
  refuse("/second", 20);
  tell_returned(first);
  hear();
  EXPECT_EQ(told_[1], std::vector<std::string>{"/first"});
  tell_returned(second);
  hear();
  EXPECT_EQ(told_[2], std::vector<std::string>{"/second"});
}

}  // namespace
}  // namespace sharkcage::sandbox
