#include "base/clock.h"

#include <gtest/gtest.h>

namespace kvasir {
namespace {

TEST(ClockTest, TheRealClockMovesForwardAndNeverBack) {
  const Clock* const clock = Clock::Real();
  const Instant start = clock->Now();
  EXPECT_GT(start.time_since_epoch().count(), 0);
  Instant last = start;
  while (last == start) {
    const Instant now = clock->Now();
    ASSERT_GE(now, last);
    last = now;
  }
  EXPECT_GT(last, start);
}

TEST(ClockTest, ThereIsOneRealClock) { EXPECT_EQ(Clock::Real(), Clock::Real()); }

}  // namespace
}  // namespace kvasir
