#include "tests/support/fake_tier.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/checksum.h"
#include "tests/storage/described_bytes.h"
#include "tests/support/flaky_tier.h"
#include "tests/support/manual_clock.h"

namespace kvasir {
namespace {

constexpr uint64_t kBlock = 100;

absl::Status Store(Tier* tier, std::string_view key, uint64_t generation,
                   Durability durability) {
  std::vector<std::byte> payload(kBlock);
  DescribedBytes(key, generation).Fill(payload);
  const BlockInfo info{.size_bytes = kBlock,
                       .checksum = BlockChecksum(ChecksumSeed(key), payload)};
  const Tier::Record record{
      .key = key, .generation = generation, .info = &info, .payload = payload};
  return tier->Store({&record, 1}, durability);
}

absl::Status Load(Tier* tier, std::string_view key, uint64_t generation) {
  std::vector<std::byte> payload(kBlock);
  Tier::Read read{.key = key, .generation = generation, .payload = payload, .status = {}};
  tier->Load({&read, 1});
  if (!read.status.ok()) return read.status;
  EXPECT_TRUE(DescribedBytes(key, generation).Match(payload));
  return absl::OkStatus();
}

uint64_t GenerationOf(const Tier& tier, std::string_view key) {
  const auto found = tier.Find(key);
  return found.has_value() ? found->generation : 0;
}

TEST(FakeTier, CrashBringsBackWhatALostBlockHadReplaced) {
  bool lost = false;
  bool kept = false;
  for (uint64_t seed = 0; seed < 32; ++seed) {
    FakeTier tier(10 * kBlock);
    ASSERT_TRUE(Store(&tier, "k", 1, Durability::kProcess).ok());
    ASSERT_TRUE(Store(&tier, "k", 2, Durability::kNone).ok());
    tier.Crash({.survives = Durability::kProcess, .seed = seed});
    lost |= GenerationOf(tier, "k") == 1;
    kept |= GenerationOf(tier, "k") == 2;
    EXPECT_TRUE(Load(&tier, "k", GenerationOf(tier, "k")).ok()) << "seed " << seed;
  }
  EXPECT_TRUE(lost && kept);
}

TEST(FakeTier, DeletedBlockStaysAwayOverACrash) {
  FakeTier tier(10 * kBlock);
  ASSERT_TRUE(Store(&tier, "k", 1, Durability::kPower).ok());
  const Tier::Tombstone tombstone{.key = "k", .generation = 2};
  ASSERT_TRUE(tier.Delete({&tombstone, 1}).ok());
  ASSERT_TRUE(Store(&tier, "k", 2, Durability::kPower).ok());
  tier.Crash({});
  EXPECT_FALSE(tier.Find("k").has_value());
  EXPECT_EQ(tier.generation_max(), 2);
}

TEST(FakeTier, BudgetDropsWhatWasUsedLeastLately) {
  FakeTier tier(2 * kBlock);
  ASSERT_TRUE(Store(&tier, "a", 1, Durability::kNone).ok());
  ASSERT_TRUE(Store(&tier, "b", 2, Durability::kNone).ok());
  ASSERT_TRUE(Load(&tier, "a", 1).ok());
  ASSERT_TRUE(Store(&tier, "c", 3, Durability::kNone).ok());
  EXPECT_FALSE(tier.Find("b").has_value());
  EXPECT_EQ(tier.List("", "", 10).size(), 2);
  EXPECT_EQ(tier.stats().dropped_blocks, 1);
}

TEST(FakeTier, FlippedBitIsDataLossOnceAndThenAMiss) {
  FakeTier tier(10 * kBlock);
  ASSERT_TRUE(Store(&tier, "k", 1, Durability::kPower).ok());
  ASSERT_TRUE(tier.FlipBit("k"));
  EXPECT_EQ(Load(&tier, "k", 1).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Load(&tier, "k", 1).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(tier.stats().corrupt_blocks, 1);
}

TEST(FlakyTier, FailsAndSlowsDownAsTold) {
  FakeTier disk(10 * kBlock);
  ManualClock clock;
  FlakyTier tier(&disk, &clock);
  const Instant begin = clock.Now();
  tier.Slow(std::chrono::seconds(2));
  tier.FailStores(absl::ResourceExhaustedError("no space"));
  EXPECT_EQ(Store(&tier, "k", 1, Durability::kNone).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(clock.Now() - begin, std::chrono::seconds(2));
  tier.FailStores(absl::OkStatus());
  EXPECT_TRUE(Store(&tier, "k", 1, Durability::kNone).ok());
  tier.FailLoads(absl::UnavailableError("EIO"));
  EXPECT_EQ(Load(&tier, "k", 1).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(tier.stored_blocks(), 2);
  EXPECT_EQ(tier.loaded_blocks(), 1);
}

}  // namespace
}  // namespace kvasir
