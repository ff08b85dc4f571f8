#include "storage/evictor.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace kvasir {
namespace {

class EvictorTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kArenaBytes = kMiB;
  static constexpr uint64_t kBlock = kArenaBytes / 64;

  void Fill(int blocks) {
    for (int i = 0; i < blocks; ++i) {
      absl::StatusOr<Reservation> made =
          store_.Reserve("k" + std::to_string(i), {.size_bytes = kBlock});
      ASSERT_TRUE(made.ok());
      ASSERT_TRUE(store_.Commit(*std::move(made), 0).ok());
    }
  }

  const std::unique_ptr<Region> region_ = *Region::Map({.size_bytes = kArenaBytes});
  Arena arena_{region_.get()};
  BlockStore store_{&arena_, {.eviction_policy = EvictionPolicyKind::kFifo}};
};

TEST_F(EvictorTest, DoesNothingBelowTheHighWatermark) {
  Fill(48);
  Evictor evictor(&store_, {.high_watermark = 0.75, .low_watermark = 0.5});
  EXPECT_EQ(evictor.Step(), 0u);
  EXPECT_EQ(store_.stats().blocks, 48u);
}

TEST_F(EvictorTest, EvictsDownToTheLowWatermarkColdestFirst) {
  Fill(49);
  Evictor evictor(&store_, {.high_watermark = 0.75, .low_watermark = 0.5});
  EXPECT_EQ(evictor.Step(), 17 * kBlock);
  EXPECT_EQ(arena_.usage().allocated_bytes, kArenaBytes / 2);
  EXPECT_EQ(store_.Probe("k16"), Residency::kAbsent);
  EXPECT_EQ(store_.Probe("k17"), Residency::kMemory);
  EXPECT_EQ(evictor.Step(), 0u);
}

TEST_F(EvictorTest, AStepIsBounded) {
  Fill(64);
  Evictor evictor(
      &store_,
      {.high_watermark = 0.75, .low_watermark = 0.5, .step_bytes_max = 4 * kBlock});
  EXPECT_EQ(evictor.Step(), 4 * kBlock);
  EXPECT_EQ(evictor.Step(), 4 * kBlock);
}

TEST_F(EvictorTest, HeldBlocksStay) {
  Fill(64);
  std::vector<BlockRef> held;
  for (int i = 0; i < 60; ++i) held.push_back(*store_.Fetch("k" + std::to_string(i)));
  Evictor evictor(&store_, {.high_watermark = 0.75, .low_watermark = 0.5});
  EXPECT_EQ(evictor.Step(), 4 * kBlock);
  EXPECT_EQ(evictor.Step(), 0u);
}

TEST_F(EvictorTest, TheDefaultsKeepMoreThanNinetyFivePercent) {
  Fill(64);
  Evictor evictor(&store_, {});
  EXPECT_GT(evictor.Step(), 0u);
  EXPECT_GE(static_cast<double>(arena_.usage().allocated_bytes),
            0.95 * static_cast<double>(kArenaBytes));
}

}  // namespace
}  // namespace kvasir
