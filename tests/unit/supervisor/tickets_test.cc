#include "supervisor/tickets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/errors.h"

namespace sharkcage {
namespace {

using ::testing::HasSubstr;
using Clock = Tickets::Clock;

const Clock::time_point kNow{std::chrono::hours(1)};

PreparedCommand command(const std::string& call = "c1") {
  PreparedCommand out;
  out.call = call;
  out.owner = 1000;
  out.argv = {"/bin/sh", "-c", "true"};
  return out;
}

std::string refusal(Tickets& tickets, const Tickets::Presented& presented,
                    Clock::time_point now = kNow) {
  try {
    tickets.redeem(presented, now);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(Tickets, WorkOnce) {
  Tickets tickets;
  const std::string ticket = tickets.issue(command(), kNow);
  EXPECT_GE(ticket.size(), 32u);  // 128 bits
  EXPECT_EQ(tickets.redeem({ticket, 1000, {}, false}, kNow).call, "c1");
  EXPECT_THAT(refusal(tickets, {ticket, 1000, {}, false}), HasSubstr("used"));
}

TEST(Tickets, MissingOrUnknownIsRefused) {
  Tickets tickets;
  EXPECT_THAT(refusal(tickets, {"", 1000, {}, false}), HasSubstr("no ticket"));
  EXPECT_THAT(refusal(tickets, {"00112233445566778899aabbccddeeff", 1000, {}, false}),
              HasSubstr("unknown"));
}

TEST(Tickets, EndAfterThirtySeconds) {
  Tickets tickets;
  const std::string in_time = tickets.issue(command(), kNow);
  const std::string late = tickets.issue(command(), kNow);
  tickets.redeem({in_time, 1000, {}, false}, kNow + kTicketLife - std::chrono::milliseconds(1));
  EXPECT_THAT(refusal(tickets, {late, 1000, {}, false}, kNow + kTicketLife), HasSubstr("late"));
}

TEST(Tickets, AnotherUserCommandOrTerminalIsRefusedAndSpendsThem) {
  const Tickets::Presented wrong[] = {{"", 1001, {}, false},
                                      {"", 1000, {"/bin/sh", "-c", "false"}, false},
                                      {"", 1000, {}, true}};
  for (Tickets::Presented presented : wrong) {
    Tickets tickets;
    presented.ticket = tickets.issue(command(), kNow);
    EXPECT_NE(refusal(tickets, presented), "");
    EXPECT_THAT(refusal(tickets, {presented.ticket, 1000, {}, false}), HasSubstr("used"));
  }
}

TEST(Tickets, TheSameCommandIsAccepted) {
  Tickets tickets;
  const std::string ticket = tickets.issue(command(), kNow);
  EXPECT_EQ(tickets.redeem({ticket, 1000, {"/bin/sh", "-c", "true"}, false}, kNow).argv,
            command().argv);
}

TEST(Tickets, OfACancelledCallAreGone) {
  Tickets tickets;
  const std::string mine = tickets.issue(command("mine"), kNow);
  const std::string other = tickets.issue(command("other"), kNow);
  tickets.drop_call("mine");
  EXPECT_NE(refusal(tickets, {mine, 1000, {}, false}), "");
  EXPECT_EQ(refusal(tickets, {other, 1000, {}, false}), "");
}

}  // namespace
}  // namespace sharkcage
