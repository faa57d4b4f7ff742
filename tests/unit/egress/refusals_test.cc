#include "supervisor/egress/refusals.h"

#include <gtest/gtest.h>

#include <string>

namespace sharkcage::egress {
namespace {

using namespace std::chrono_literals;

Connection refused(const std::string& host, const std::string& call = "call") {
  Connection event;
  event.call = call;
  event.host = host;
  event.port = 443;
  event.reason = "the host is not approved";
  return event;
}

std::uint64_t sum(const std::vector<Connection>& events) {
  std::uint64_t all = 0;
  for (const Connection& event : events) all += event.count;
  return all;
}

TEST(Refusals, TheFirstOfAKindIsToldAtOnce) {
  Refusals refusals;
  const Refusals::Time start{};
  ASSERT_TRUE(refusals.add(refused("a.example"), start));
  ASSERT_TRUE(refusals.add(refused("b.example"), start));
  ASSERT_TRUE(refusals.add(refused("a.example", "other"), start));
  EXPECT_FALSE(refusals.add(refused("a.example"), start + 1s));
  EXPECT_EQ(refusals.next_due(), start + Refusals::kFirstPause);
}

TEST(Refusals, ThoseLikeItAreToldByNumberAtGrowingIntervals) {
  Refusals refusals;
  std::vector<std::chrono::seconds> told;
  std::uint64_t count = 0;
  for (auto time = 0s; time < 3600s; ++time) {
    Connection event = refused("a.example");
    event.first_us = time.count();
    const Refusals::Time now{time};
    std::vector<Connection> out = refusals.take_due(now);
    if (auto first = refusals.add(std::move(event), now)) out.push_back(std::move(*first));
    for (const Connection& one : out) {
      told.push_back(time);
      EXPECT_EQ(one.first_us, static_cast<std::int64_t>(count)) << "one a second";
      count += one.count;
    }
  }
  EXPECT_EQ(count + sum(refusals.take_all()), 3600u);
  ASSERT_GE(told.size(), 9u);
  EXPECT_EQ(std::vector<std::chrono::seconds>(told.begin(), told.begin() + 6),
            (std::vector{0s, 5s, 15s, 35s, 75s, 155s}));
  EXPECT_LE(told.size(), 14u) << "an hour of attempts";
}

TEST(Refusals, OfTooManyKindsTheNumberIsKept) {
  Refusals refusals;
  std::size_t told = 0;
  std::uint64_t count = 0;
  for (int i = 0; i < 100'000; ++i) {
    const Refusals::Time now{i * 600us};
    std::vector<Connection> out = refusals.take_due(now);
    if (auto first = refusals.add(refused(std::to_string(i) + ".example"), now)) {
      out.push_back(std::move(*first));
    }
    told += out.size();
    count += sum(out);
  }
  const auto rest = refusals.take_of("call");
  EXPECT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest.at(0).host, "");
  EXPECT_EQ(rest.at(0).reason, "more refused attempts, of which only the number was kept");
  EXPECT_EQ(count + sum(rest), 100'000u);
  EXPECT_LE(told, Refusals::kMaxDistinct + 6);
  EXPECT_EQ(sum(refusals.take_all()), 0u);
}

TEST(Refusals, AnOldKindIsToldAtOnceAgain) {
  Refusals refusals;
  const Refusals::Time start{};
  ASSERT_TRUE(refusals.add(refused("a.example"), start));
  EXPECT_FALSE(refusals.add(refused("a.example"), start + 1s));
  EXPECT_EQ(sum(refusals.take_due(start + 5s)), 1u);
  const auto later = start + 5s + 2 * Refusals::kMaxPause;
  ASSERT_TRUE(refusals.add(refused("a.example"), later));
  EXPECT_FALSE(refusals.add(refused("a.example"), later + 4s));
  EXPECT_EQ(sum(refusals.take_due(later + 5s)), 1u) << "the pauses begin anew";
}

}  // namespace
}  // namespace sharkcage::egress
