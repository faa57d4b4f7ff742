// The processes beside a monitor, and what they tell it.
#include "supervisor/sandbox/attendant.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "common/errors.h"
#include "supervisor/sandbox/refusals.h"

namespace sharkcage::sandbox {
namespace {

Refusal read_of(const std::string& path) {
  Refusal refusal;
  refusal.operation = "read";
  refusal.target = path;
  refusal.program = "cat";
  refusal.pid = 7;
  refusal.command = 2;
  refusal.first_us = microseconds_since_1970();
  refusal.hidden = true;
  return refusal;
}

bool ended(const Attendant& attendant) {
  pollfd end{attendant.pidfd(), POLLIN, 0};
  return ::poll(&end, 1, 10000) == 1;
}

TEST(Attendant, TellsItsTableWhenAsked) {
  RefusalCounter counter;
  const auto attendant = Attendant::start("test", {}, [&](int channel) {
    RefusalTable table;
    table.add(read_of("/a"));
    table.add(read_of("/b"));
    table.add(read_of("/a"));
    counter.increment();
    for (char order[16]; ::recv(channel, order, sizeof order, 0) > 0;)
      answer_collect(channel, table);
  });
  const auto first = collect(attendant.channel());
  ASSERT_EQ(first.refusals.size(), 2u);
  EXPECT_EQ(first.refusals[0].target, "/a");
  EXPECT_EQ(first.refusals[0].count, 2u);
  EXPECT_TRUE(first.refusals[0].hidden);
  EXPECT_EQ(first.refusals[1].target, "/b");
  EXPECT_EQ(first.more, 0u);
  EXPECT_EQ(counter.value(), 1u);
  EXPECT_TRUE(collect(attendant.channel()).refusals.empty());
}

TEST(RefusalCounter, WakesOnceForEachTimeThatItIsArmed) {
  const UniqueFd alarm(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  RefusalCounter counter(alarm.get());
  const auto woken = [&] {
    std::uint64_t count = 0;
    return ::read(alarm.get(), &count, sizeof count) == sizeof count ? count : 0;
  };
  counter.increment();
  EXPECT_EQ(woken(), 0u);
  counter.arm();
  counter.increment();
  counter.increment();
  EXPECT_EQ(woken(), 1u);
  counter.increment();
  EXPECT_EQ(woken(), 0u);
  EXPECT_EQ(counter.value(), 4u);
}

TEST(Attendant, OneThatIsGoneIsAnError) {
  const auto attendant = Attendant::start("test", {}, [](int) {});
  ASSERT_TRUE(ended(attendant));
  EXPECT_ANY_THROW(collect(attendant.channel()));
}

TEST(Attendant, HoldsOnlyWhatItWasGiven) {
  auto [read_end, write_end] = make_pipe();
  auto [kept_read, kept_write] = make_pipe();
  const std::array keep = {kept_write.get()};
  const auto attendant = Attendant::start("test", keep, [&](int) {
    char byte = 'n';
    if (::write(write_end.get(), &byte, 1) < 0) byte = 'y';
    write_all(kept_write.get(), {&byte, 1});
  });
  kept_write.reset();
  char answer = '?';
  ASSERT_EQ(::read(kept_read.get(), &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
}

TEST(RefusalTable, IsBoundedAndLosesNoCount) {
  RefusalTable table;
  for (std::size_t i = 0; i < RefusalTable::kMaxDistinct + 5; ++i) {
    table.add(read_of("/" + std::to_string(i)));
  }
  const auto taken = table.take();
  EXPECT_EQ(taken.refusals.size(), RefusalTable::kMaxDistinct);
  EXPECT_EQ(taken.more, 5u);
}

}  // namespace
}  // namespace sharkcage::sandbox
