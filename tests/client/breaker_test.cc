#include "client/breaker.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/support/manual_clock.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

class BreakerTest : public ::testing::Test {
 protected:
  bool Admit() { return breaker_.Admit(clock_.Now()); }
  void Fail(int times = 1) {
    for (int i = 0; i < times; ++i) breaker_.OnFailure(clock_.Now());
  }

  ManualClock clock_;
  Breaker breaker_{{.failures_to_open = 3,
                    .cooldown_min = milliseconds(200),
                    .cooldown_max = milliseconds(10'000),
                    .jitter_seed = 7}};
};

TEST_F(BreakerTest, StaysClosedBelowTheThreshold) {
  Fail(2);
  EXPECT_TRUE(Admit());
  EXPECT_FALSE(breaker_.open());
}

TEST_F(BreakerTest, ASuccessStartsTheCountAnew) {
  Fail(2);
  breaker_.OnSuccess();
  Fail(2);
  EXPECT_TRUE(Admit());
}

TEST_F(BreakerTest, OpensAndTurnsCallsAway) {
  Fail(3);
  EXPECT_TRUE(breaker_.open());
  EXPECT_FALSE(Admit());
  clock_.Advance(milliseconds(99));  // At least half of the cooldown.
  EXPECT_FALSE(Admit());
}

TEST_F(BreakerTest, AdmitsOneProbeAfterTheCooldown) {
  Fail(3);
  clock_.Advance(milliseconds(200));
  EXPECT_TRUE(Admit());
  EXPECT_FALSE(Admit());
}

TEST_F(BreakerTest, AProbeThatSucceedsCloses) {
  Fail(3);
  clock_.Advance(milliseconds(200));
  ASSERT_TRUE(Admit());
  breaker_.OnSuccess();
  EXPECT_TRUE(Admit());
  EXPECT_TRUE(Admit());
}

TEST_F(BreakerTest, AProbeThatFailsDoublesTheCooldown) {
  Fail(3);
  clock_.Advance(milliseconds(200));
  ASSERT_TRUE(Admit());
  Fail();
  clock_.Advance(milliseconds(199));  // At least half of 400.
  EXPECT_FALSE(Admit());
  clock_.Advance(milliseconds(201));
  EXPECT_TRUE(Admit());
}

TEST_F(BreakerTest, AProbeThatNeverReportsIsFollowedByAnother) {
  Fail(3);
  clock_.Advance(milliseconds(200));
  ASSERT_TRUE(Admit());
  clock_.Advance(milliseconds(200));
  EXPECT_TRUE(Admit());
}

TEST_F(BreakerTest, TheCooldownNeverExceedsItsMaximum) {
  Fail(100);
  clock_.Advance(milliseconds(10'000));
  EXPECT_TRUE(Admit());
}

TEST_F(BreakerTest, JitterSpreadsTheProbesOfManyClients) {
  int early = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Breaker breaker({.failures_to_open = 1,
                     .cooldown_min = milliseconds(200),
                     .cooldown_max = milliseconds(200),
                     .jitter_seed = seed});
    breaker.OnFailure(clock_.Now());
    if (breaker.Admit(clock_.Now() + milliseconds(150))) ++early;
  }
  EXPECT_GT(early, 60);
  EXPECT_LT(early, 140);
}

TEST(RetryBudget, RetriesAreATenthOfTheCallsAfterABurst) {
  RetryBudget budget;
  int burst = 0;
  while (budget.Take()) ++burst;
  EXPECT_EQ(burst, 10);
  int retries = 0;
  for (int call = 0; call < 1000; ++call) {
    budget.OnCall();
    if (budget.Take()) ++retries;
  }
  EXPECT_EQ(retries, 100);
}

TEST(RetryBudget, TheBurstIsBounded) {
  RetryBudget budget;
  for (int call = 0; call < 1000; ++call) budget.OnCall();
  int burst = 0;
  while (budget.Take()) ++burst;
  EXPECT_EQ(burst, 10);
}

}  // namespace
}  // namespace kvasir
