#include "storage/tier_health.h"

#include <gtest/gtest.h>

#include "base/limits.h"

namespace kvasir {
namespace {

using Call = TierHealth::Call;

class TierHealthTest : public ::testing::Test {
 protected:
  void Run(Call call, const absl::Status& status, BootClock::duration took = {}) {
    const uint64_t id = health_.Begin(now_);
    now_ += took;
    health_.End(id, call, status, now_);
  }
  bool StepAfter(BootClock::duration time) {
    now_ += time;
    return health_.Step(now_);
  }

  Instant now_{std::chrono::hours(1)};
  TierHealth health_;
};

TEST_F(TierHealthTest, OneFailedStoreMakesItReadOnly) {
  EXPECT_EQ(health_.state(), TierState::kHealthy);
  Run(Call::kStore, absl::ResourceExhaustedError("no space"));
  EXPECT_EQ(health_.state(), TierState::kDbReadOnly);
  EXPECT_FALSE(health_.may_store());
  EXPECT_TRUE(health_.may_load());
  EXPECT_EQ(health_.reason(), "stores fail: no space");
}

TEST_F(TierHealthTest, ProbesAreDueAtIntervalsUntilOneSucceeds) {
  EXPECT_FALSE(StepAfter(kTierProbeInterval));
  Run(Call::kStore, absl::UnavailableError("EIO"));
  EXPECT_FALSE(StepAfter(kTierProbeInterval / 2));
  EXPECT_TRUE(StepAfter(kTierProbeInterval / 2));
  EXPECT_FALSE(StepAfter({}));
  Run(Call::kStore, absl::UnavailableError("EIO"));
  EXPECT_TRUE(StepAfter(kTierProbeInterval));
  Run(Call::kStore, absl::OkStatus());
  EXPECT_EQ(health_.state(), TierState::kHealthy);
  EXPECT_FALSE(StepAfter(kTierProbeInterval));
}

TEST_F(TierHealthTest, OnlyFailedLoadsInARowMakeItMemoryOnly) {
  for (size_t i = 0; i + 1 < kTierLoadFailuresMax; ++i) {
    Run(Call::kLoad, absl::UnavailableError("EIO"));
  }
  Run(Call::kLoad, absl::NotFoundError("gone"));
  EXPECT_EQ(health_.state(), TierState::kHealthy);
  for (size_t i = 0; i < kTierLoadFailuresMax; ++i) {
    Run(Call::kLoad, absl::UnavailableError("EIO"));
  }
  EXPECT_EQ(health_.state(), TierState::kMemoryOnly);
  EXPECT_FALSE(health_.may_load());
  EXPECT_FALSE(health_.may_store());
  Run(Call::kLoad, absl::OkStatus());
  EXPECT_EQ(health_.state(), TierState::kHealthy);
}

TEST_F(TierHealthTest, DamagedBlocksAreNotTheDisksFault) {
  for (size_t i = 0; i < 2 * kTierLoadFailuresMax; ++i) {
    Run(Call::kLoad, absl::DataLossError("checksum"));
  }
  EXPECT_EQ(health_.state(), TierState::kHealthy);
}

TEST_F(TierHealthTest, SlowCallIsForgottenAfterACalmTime) {
  Run(Call::kLoad, absl::OkStatus(), kTierSlowAfter);
  EXPECT_EQ(health_.state(), TierState::kDbSlow);
  EXPECT_TRUE(health_.may_store());
  StepAfter(kTierCalmAfter / 2);
  EXPECT_EQ(health_.state(), TierState::kDbSlow);
  StepAfter(kTierCalmAfter / 2);
  EXPECT_EQ(health_.state(), TierState::kHealthy);
}

TEST_F(TierHealthTest, CallThatDoesNotReturnIsSlow) {
  const uint64_t id = health_.Begin(now_);
  StepAfter(kTierSlowAfter);
  EXPECT_EQ(health_.state(), TierState::kDbSlow);
  StepAfter(kTierCalmAfter * 2);
  EXPECT_EQ(health_.state(), TierState::kDbSlow);
  health_.End(id, Call::kStore, absl::OkStatus(), now_);
  StepAfter(kTierCalmAfter);
  EXPECT_EQ(health_.state(), TierState::kHealthy);
}

TEST_F(TierHealthTest, AbsentTierIsNotProbedAndComesBackWhenItIsThere) {
  health_.SetAbsent("the database is unreadable");
  EXPECT_EQ(health_.state(), TierState::kMemoryOnly);
  EXPECT_FALSE(health_.may_store());
  EXPECT_FALSE(health_.may_load());
  EXPECT_FALSE(StepAfter(kTierProbeInterval));
  EXPECT_EQ(health_.reason(), "the database is unreadable");
  health_.SetPresent();
  EXPECT_EQ(health_.state(), TierState::kHealthy);
  EXPECT_TRUE(health_.may_store());
}

TEST_F(TierHealthTest, StatesHaveTheNamesThatPeopleSee) {
  EXPECT_EQ(TierStateName(TierState::kHealthy), "HEALTHY");
  EXPECT_EQ(TierStateName(TierState::kMemoryOnly), "MEMORY_ONLY");
}

}  // namespace
}  // namespace kvasir
