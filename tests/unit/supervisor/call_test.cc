#include "supervisor/call.h"

#include <gtest/gtest.h>

namespace sharkcage {
namespace {

TEST(Calls, AreFoundByIdAndByToken) {
  Calls calls;
  const auto call = calls.create();
  EXPECT_EQ(calls.by_id(call->id), call);
  EXPECT_EQ(calls.by_token(call->token), call);
  EXPECT_EQ(calls.by_token(call->id), nullptr);
  calls.forget(*call);
  EXPECT_FALSE(calls.holds(*call));
  EXPECT_EQ(calls.by_token(call->token), nullptr);
}

TEST(Calls, FinishedOnesStayForAWhileAndNotForever) {
  Calls calls;
  const auto first = calls.create();
  calls.finish(*first);
  EXPECT_EQ(first->state, CallState::kFinished);
  EXPECT_TRUE(calls.holds(*first));
  for (std::size_t i = 0; i < 3 * Calls::kMaxFinished; ++i) calls.finish(*calls.create());
  EXPECT_FALSE(calls.holds(*first));
  EXPECT_EQ(calls.all().size(), Calls::kMaxFinished);
}

TEST(Calls, AForgottenOneMayFinish) {
  Calls calls;
  const auto call = calls.create();
  calls.forget(*call);
  calls.finish(*call);
  for (std::size_t i = 0; i < Calls::kMaxFinished; ++i) calls.finish(*calls.create());
  EXPECT_EQ(calls.all().size(), Calls::kMaxFinished);
}

TEST(Calls, TheOldestThatDoesNotRunMakesRoom) {
  Calls calls;
  const auto running = calls.create();
  running->state = CallState::kRunning;
  const auto idle = calls.create();
  for (std::size_t i = 1; i < Calls::kMaxCalls; ++i) calls.create();
  EXPECT_TRUE(calls.holds(*running));
  EXPECT_FALSE(calls.holds(*idle));
  EXPECT_EQ(calls.all().size(), Calls::kMaxCalls);
}

}  // namespace
}  // namespace sharkcage
