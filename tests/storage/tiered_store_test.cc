#include "storage/tiered_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/checksum.h"
#include "base/limits.h"
#include "base/region.h"
#include "tests/storage/described_bytes.h"
#include "tests/support/fake_tier.h"
#include "tests/support/flaky_tier.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/tier_decorator.h"

namespace kvasir {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kArenaBytes = kMiB;
constexpr uint64_t kBlock = kArenaBytes / 64;
constexpr uint64_t kDiskBytes = 16 * kMiB;

// A store over memory that dies with it and a disk that does not.
class TieredStoreTest : public ::testing::Test {
 protected:
  TieredStoreTest() { Boot({}); }

  void Boot(const TieredStore::Options& options) { BootOver(&disk_, options); }
  void BootOver(Tier* tier, const TieredStore::Options& options) {
    store_.reset();
    writes_.DropAll();
    loads_.DropAll();
    arena_ = std::make_unique<Arena>(region_.get());
    store_ =
        std::make_unique<TieredStore>(arena_.get(), options, &clock_, &writes_, &loads_);
    store_->Attach(tier);
  }
  void Crash(uint64_t seed = 0) {
    // The tasks that the old store had queued end with it.
    writes_.DropAll();
    loads_.DropAll();
    fake_.Crash({.survives = Durability::kProcess, .seed = seed});
    Boot({});
  }

  struct PutOptions {
    bool replace = false;
    Durability durability = Durability::kNone;
    uint64_t size_bytes = kBlock;
  };
  // The number of its settlement.
  absl::StatusOr<uint64_t> Put(std::string_view key, uint64_t version,
                               const PutOptions& options) {
    absl::StatusOr<Reservation> made = store_->Reserve(
        key, {.size_bytes = options.size_bytes, .replace = options.replace});
    if (!made.ok()) return made.status();
    DescribedBytes(key, version).Fill(made->bytes());
    const uint64_t checksum = BlockChecksum(ChecksumSeed(key), made->bytes());
    return store_->Commit(*std::move(made), checksum, options.durability);
  }
  absl::StatusOr<uint64_t> Put(std::string_view key, uint64_t version) {
    return Put(key, version, PutOptions());
  }
  // A block that only the disk has.
  void PutBelow(const std::string& key, uint64_t version) {
    ASSERT_TRUE(Put(key, version, {.durability = Durability::kPower}).ok());
    writes_.RunAll();
    ASSERT_EQ(store_->Probe(key), Residency::kBoth);
    store_->memory()->Evict(kArenaBytes);
    ASSERT_EQ(store_->Probe(key), Residency::kDisk);
  }
  // The version that memory has of `key`, out of 1 to 9; 0: none.
  uint64_t VersionOf(std::string_view key) {
    const absl::StatusOr<BlockRef> block = store_->Fetch(key);
    if (!block.ok()) return 0;
    for (uint64_t version = 1; version < 10; ++version) {
      if (DescribedBytes(key, version).Match(block->bytes())) return version;
    }
    ADD_FAILURE() << "wrong bytes of " << key;
    return 0;
  }
  // After a promotion, if need be.
  uint64_t Get(std::string_view key) {
    if (!store_->Fetch(key).ok() && store_->Promote(key, {})) loads_.RunAll();
    return VersionOf(key);
  }
  absl::Status Result(uint64_t settlement) {
    return store_->settlements()->Result(settlement).value_or(
        absl::UnknownError("still open"));
  }

  ManualClock clock_;
  ManualExecutor writes_, loads_;
  FakeTier fake_{kDiskBytes};
  FlakyTier disk_{&fake_, &clock_};
  const std::unique_ptr<Region> region_ = *Region::Map({.size_bytes = kArenaBytes});
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<TieredStore> store_;
};

TEST_F(TieredStoreTest, ColdBlocksAreStoredAheadOfDemandAndThenEvictedForNothing) {
  for (int i = 0; i < 64; ++i) ASSERT_TRUE(Put("k" + std::to_string(i), 1).ok());
  for (int i = 0; i < 8; ++i) {
    store_->Step();
    writes_.RunAll();
  }
  store_->Step();
  const TieredStore::Stats stats = store_->stats();
  EXPECT_GT(stats.writer.demoted_blocks, 32);
  EXPECT_GT(stats.memory.evicted_blocks_total, 0);
  EXPECT_EQ(stats.memory.evicted_unsaved_blocks_total, 0);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(Get("k" + std::to_string(i)), 1) << i;
}

// Of 64 blocks, without a tier.
std::vector<std::string> LeftAfterAStep(int blocks, const Demoter::Options& options) {
  const std::unique_ptr<Region> region = *Region::Map({.size_bytes = kArenaBytes});
  Arena arena(region.get());
  ManualClock clock;
  TieredStore store(
      &arena, {.eviction_policy = EvictionPolicyKind::kFifo, .demotion = options}, &clock,
      nullptr, nullptr);
  for (int i = 10; i < 10 + blocks; ++i) {
    absl::StatusOr<Reservation> made =
        store.Reserve("k" + std::to_string(i), {.size_bytes = kBlock});
    EXPECT_EQ(*store.Commit(*std::move(made), 0, Durability::kNone), 0);
  }
  store.Step();
  std::vector<std::string> left;
  for (KeyInfo& info : store.List("", "", 100)) left.push_back(std::move(info.key));
  return left;
}

TEST(TieredStoreAlone, EvictsTheColdestBetweenTheWatermarks) {
  const Demoter::Options options{.high_watermark = 0.75, .low_watermark = 0.5};
  EXPECT_EQ(LeftAfterAStep(48, options).size(), 48);
  const std::vector<std::string> left = LeftAfterAStep(49, options);
  ASSERT_EQ(left.size(), 32);
  EXPECT_EQ(left.front(), "k27");
  EXPECT_GE(LeftAfterAStep(64, {}).size(), 61);  // 95 %
}

TEST(TieredStoreAlone, RefusesWhatNeedsATier) {
  const std::unique_ptr<Region> region = *Region::Map({.size_bytes = kArenaBytes});
  Arena arena(region.get());
  ManualClock clock;
  TieredStore store(&arena, {}, &clock, nullptr, nullptr);
  EXPECT_EQ(store.CheckDurable(1).code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(store.Promote("k", {}));
  EXPECT_EQ(store.Remove("k"), TieredStore::Removed::kAbsent);
}

TEST_F(TieredStoreTest, FullQueueNeverHoldsUpPuts) {
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(Put("k" + std::to_string(i), 1).ok()) << i;
    store_->Step();  // The executor stands still.
  }
  EXPECT_GT(store_->stats().memory.evicted_unsaved_blocks_total, 0);
}

TEST_F(TieredStoreTest, PutsUnderPressureTakeWhatIsStoredFirst) {
  for (int i = 0; i < 32; ++i) ASSERT_TRUE(Put("new" + std::to_string(i), 1).ok());
  for (int i = 0; i < 32; ++i) {
    ASSERT_TRUE(
        Put("stored" + std::to_string(i), 1, {.durability = Durability::kPower}).ok());
    writes_.RunAll();
  }
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(Put("late" + std::to_string(i), 1).ok());
  EXPECT_GE(store_->stats().memory.evicted_blocks_total, 16);
  EXPECT_EQ(store_->stats().memory.evicted_unsaved_blocks_total, 0);
}

TEST_F(TieredStoreTest, WriteThroughStoresEachCommit) {
  Boot({.write_policy = WritePolicy::kWriteThrough});
  ASSERT_TRUE(Put("k", 1).ok());
  EXPECT_EQ(store_->Probe("k"), Residency::kMemory);
  writes_.RunAll();
  EXPECT_EQ(store_->Probe("k"), Residency::kBoth);
}

TEST_F(TieredStoreTest, KeyOnDiskCountsAsCommitted) {
  PutBelow("k", 1);
  EXPECT_EQ(Put("k", 2).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Get("k"), 1);
}

TEST_F(TieredStoreTest, KeyThatWentDownWhileAPutFilledItWins) {
  absl::StatusOr<Reservation> slow = store_->Reserve("k", {.size_bytes = kBlock});
  ASSERT_TRUE(slow.ok());
  ASSERT_TRUE(Put("k", 1, {.replace = true, .durability = Durability::kPower}).ok());
  writes_.RunAll();
  store_->memory()->Evict(kArenaBytes);
  EXPECT_EQ(store_->Commit(*std::move(slow), 0, Durability::kNone).status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(TieredStoreTest, ConcurrentGetsOfOneKeyReadItOnce) {
  PutBelow("k", 1);
  int landed = 0;
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(store_->Promote("k", [&](const BlockRef* block) {
      landed += block != nullptr && block->key() == "k" ? 1 : 0;
    }));
  }
  EXPECT_TRUE(store_->IsPromoting("k"));
  EXPECT_EQ(store_->Probe("k"), Residency::kDisk);
  loads_.RunAll();
  EXPECT_EQ(landed, 5);
  EXPECT_EQ(disk_.loaded_blocks(), 1);
  EXPECT_EQ(store_->Probe("k"), Residency::kBoth);
}

TEST_F(TieredStoreTest, DamagedBlockIsAMissAndGone) {
  PutBelow("k", 1);
  ASSERT_TRUE(fake_.FlipBit("k"));
  EXPECT_EQ(Get("k"), 0);
  EXPECT_EQ(store_->Probe("k"), Residency::kAbsent);
  EXPECT_EQ(store_->stats().promoter.corrupt_blocks, 1);
  EXPECT_TRUE(Put("k", 2).ok());
  EXPECT_EQ(Get("k"), 2);
}

TEST_F(TieredStoreTest, PromotionLosesAgainstAReplacingPut) {
  PutBelow("k", 1);
  ASSERT_TRUE(store_->Promote("k", {}));
  ASSERT_TRUE(Put("k", 2, {.replace = true}).ok());
  loads_.RunAll();
  EXPECT_EQ(VersionOf("k"), 2);
}

TEST_F(TieredStoreTest, ReplacedBlockIsHiddenAtOnceAndSettledOnceDeleted) {
  PutBelow("k", 1);
  const absl::StatusOr<uint64_t> settlement = Put("k", 2, {.replace = true});
  ASSERT_TRUE(settlement.ok());
  ASSERT_NE(*settlement, 0);
  EXPECT_EQ(Result(*settlement).code(), absl::StatusCode::kUnknown);
  store_->memory()->Evict(kArenaBytes);
  EXPECT_EQ(store_->Probe("k"), Residency::kAbsent);
  EXPECT_FALSE(store_->Promote("k", {}));
  writes_.RunAll();
  EXPECT_TRUE(Result(*settlement).ok());
  Crash();
  EXPECT_EQ(Get("k"), 0);
}

TEST_F(TieredStoreTest, ReplacingABlockThatIsBeingStoredDeletesIt) {
  Boot({.write_policy = WritePolicy::kWriteThrough});
  ASSERT_TRUE(Put("k", 1).ok());
  writes_.RunAll();
  EXPECT_NE(*Put("k", 2, {.replace = true}), 0);
  // What only waits for its turn is not stored, and nothing needs deleting.
  ASSERT_TRUE(Put("j", 1).ok());
  EXPECT_EQ(*Put("j", 2, {.replace = true}), 0);
  writes_.RunAll();
  EXPECT_EQ(Get("j"), 2);
}

TEST_F(TieredStoreTest, FailedDeletionKeepsTheOldBlockHiddenAndIsRetried) {
  PutBelow("k", 1);
  disk_.FailDeletes(absl::UnavailableError("EIO"));
  const absl::StatusOr<uint64_t> settlement = Put("k", 2, {.replace = true});
  ASSERT_TRUE(settlement.ok());
  writes_.RunAll();
  EXPECT_EQ(Result(*settlement).code(), absl::StatusCode::kUnavailable);
  store_->memory()->Evict(kArenaBytes);
  EXPECT_EQ(Get("k"), 0);
  EXPECT_EQ(store_->Remove("k"), TieredStore::Removed::kFailed);
  disk_.FailDeletes(absl::OkStatus());
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(kTierProbeInterval);
    store_->Step();
    writes_.RunAll();
  }
  EXPECT_EQ(store_->stats().erasures, 0);
  EXPECT_FALSE(fake_.Find("k").has_value());
}

TEST_F(TieredStoreTest, RemovedKeyIsGoneAtOnceAndForGoodOnceNotPending) {
  PutBelow("k", 1);
  ASSERT_EQ(Get("k"), 1);
  EXPECT_EQ(store_->Remove("k"), TieredStore::Removed::kPending);
  EXPECT_EQ(store_->Probe("k"), Residency::kAbsent);
  EXPECT_EQ(store_->Remove("k"), TieredStore::Removed::kPending);
  int settled = 0;
  EXPECT_TRUE(store_->AwaitRemoval("k", [&] { ++settled; }));
  writes_.RunAll();
  EXPECT_EQ(settled, 1);
  EXPECT_EQ(store_->Remove("k"), TieredStore::Removed::kAbsent);
  Crash();
  EXPECT_EQ(Get("k"), 0);
}

TEST_F(TieredStoreTest, PromotionUnderWayDoesNotBringBackWhatWasRemoved) {
  PutBelow("k", 1);
  ASSERT_TRUE(store_->Promote("k", {}));
  EXPECT_EQ(store_->Remove("k"), TieredStore::Removed::kPending);
  loads_.RunAll();
  writes_.RunAll();
  EXPECT_EQ(Get("k"), 0);
}

TEST_F(TieredStoreTest, DurablePutIsSettledOnceStored) {
  const absl::StatusOr<uint64_t> settlement =
      Put("k", 1, {.durability = Durability::kProcess});
  ASSERT_TRUE(settlement.ok());
  EXPECT_EQ(VersionOf("k"), 1);
  EXPECT_EQ(Result(*settlement).code(), absl::StatusCode::kUnknown);
  int settled = 0;
  EXPECT_TRUE(store_->settlements()->Await(*settlement, [&] { ++settled; }));
  writes_.RunAll();
  EXPECT_EQ(settled, 1);
  EXPECT_TRUE(Result(*settlement).ok());
  Crash();
  EXPECT_EQ(Get("k"), 1);
}

TEST_F(TieredStoreTest, FullDiskRefusesDurablePutsUntilAProbeSucceeds) {
  PutBelow("old", 1);
  disk_.FailStores(absl::ResourceExhaustedError("no space"));
  const absl::StatusOr<uint64_t> settlement =
      Put("k", 1, {.durability = Durability::kPower});
  ASSERT_TRUE(settlement.ok());
  writes_.RunAll();
  EXPECT_EQ(Result(*settlement).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(store_->health()->state(), TierState::kDbReadOnly);
  EXPECT_EQ(store_->CheckDurable(kBlock).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Put("old", 2, {.replace = true}).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(Get("old"), 1);  // Reads go on, and so do puts.
  EXPECT_TRUE(Put("new", 1).ok());
  disk_.FailStores(absl::OkStatus());
  clock_.Advance(kTierProbeInterval);
  store_->Step();
  writes_.RunAll();
  EXPECT_EQ(store_->health()->state(), TierState::kHealthy);
  EXPECT_TRUE(store_->CheckDurable(kBlock).ok());
  EXPECT_EQ(store_->List("", "", 10).size(), 3);
}

TEST_F(TieredStoreTest, DurablePutThatIsReplacedBeforeItsTurnLeavesNothingOlderBehind) {
  PutBelow("k", 1);
  ASSERT_TRUE(
      Put("k", 2, {.replace = true, .durability = Durability::kProcess}).ok());
  const absl::StatusOr<uint64_t> last = Put("k", 3, {.replace = true});
  ASSERT_NE(*last, 0);
  writes_.RunAll();
  EXPECT_TRUE(Result(*last).ok());
  store_->memory()->Evict(kArenaBytes);
  EXPECT_EQ(Get("k"), 0);
  Crash();
  EXPECT_EQ(Get("k"), 0);
}

TEST_F(TieredStoreTest, DurableReplaceThatTheDiskRefusesBringsTheOlderBlockBack) {
  PutBelow("k", 1);
  disk_.FailStores(absl::ResourceExhaustedError("no space"));
  const absl::StatusOr<uint64_t> settlement =
      Put("k", 2, {.replace = true, .durability = Durability::kPower});
  ASSERT_TRUE(settlement.ok());
  EXPECT_EQ(VersionOf("k"), 2);
  writes_.RunAll();
  EXPECT_EQ(Result(*settlement).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Get("k"), 1);
  EXPECT_EQ(store_->stats().erasures, 0);
  Crash();
  EXPECT_EQ(Get("k"), 1);
}

TEST_F(TieredStoreTest, DurableReplaceThatFindsTheQueueFullKeepsTheOlderBlock) {
  PutBelow("k", 1);
  int queued = 0;  // The executor stands still.
  while (Put("q" + std::to_string(queued), 1, {.durability = Durability::kPower}).ok() &&
         store_->CheckDurable(kBlock).ok()) {
    ++queued;
  }
  const absl::StatusOr<uint64_t> settlement =
      Put("k", 2, {.replace = true, .durability = Durability::kPower});
  ASSERT_TRUE(settlement.ok());
  EXPECT_EQ(Result(*settlement).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Get("k"), 1);
}

TEST_F(TieredStoreTest, DurablePutIsNotAcknowledgedForWhatReplacedIt) {
  PutBelow("k", 1);
  const absl::StatusOr<uint64_t> earlier =
      Put("k", 2, {.replace = true, .durability = Durability::kPower});
  const absl::StatusOr<uint64_t> later =
      Put("k", 3, {.replace = true, .durability = Durability::kPower});
  disk_.FailStores(absl::UnavailableError("EIO"));
  writes_.RunAll();
  EXPECT_EQ(Result(*earlier).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Result(*later).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Get("k"), 1);
}

TEST_F(TieredStoreTest, RefusedDurablePutDoesNotBringBackWhatWasRemoved) {
  PutBelow("k", 1);
  disk_.FailDeletes(absl::UnavailableError("EIO"));
  ASSERT_EQ(store_->Remove("k"), TieredStore::Removed::kPending);
  disk_.FailStores(absl::UnavailableError("EIO"));
  ASSERT_TRUE(Put("k", 2, {.durability = Durability::kPower}).ok());
  writes_.RunAll();
  EXPECT_EQ(Get("k"), 2);
  store_->memory()->Evict(kArenaBytes);
  EXPECT_EQ(Get("k"), 0);
}

TEST_F(TieredStoreTest, StoredBlockIsMadeDurableByOneStoreForAllWhoAsk) {
  ASSERT_TRUE(Put("k", 1).ok());
  const absl::StatusOr<uint64_t> first = store_->MakeDurable("k", Durability::kProcess);
  ASSERT_TRUE(first.ok());
  ASSERT_NE(*first, 0);
  EXPECT_EQ(store_->MakeDurable("k", Durability::kProcess), first);
  // What promises less is no help to who asks for more.
  EXPECT_NE(store_->MakeDurable("k", Durability::kPower), first);
  writes_.RunAll();
  EXPECT_TRUE(Result(*first).ok());
  EXPECT_EQ(*store_->MakeDurable("k", Durability::kPower), 0);
  EXPECT_EQ(store_->MakeDurable("j", Durability::kProcess).status().code(),
            absl::StatusCode::kNotFound);
  Crash();
  EXPECT_EQ(Get("k"), 1);
}

TEST_F(TieredStoreTest, WhatWaitsForADurablePutWaitsForThatStore) {
  const absl::StatusOr<uint64_t> put = Put("k", 1, {.durability = Durability::kPower});
  EXPECT_EQ(store_->MakeDurable("k", Durability::kProcess), put);
  disk_.FailStores(absl::UnavailableError("EIO"));
  writes_.RunAll();
  EXPECT_EQ(store_->MakeDurable("k", Durability::kProcess).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(VersionOf("k"), 1);
}

TEST_F(TieredStoreTest, BlockThatADemotionStoredIsMadeDurableToo) {
  ASSERT_TRUE(Put("k", 1).ok());
  while (!store_->SaveStep()) writes_.RunAll();
  ASSERT_EQ(store_->Probe("k"), Residency::kBoth);
  const absl::StatusOr<uint64_t> settlement =
      store_->MakeDurable("k", Durability::kProcess);
  ASSERT_NE(*settlement, 0);
  writes_.RunAll();
  EXPECT_EQ(fake_.Find("k")->durability, Durability::kProcess);
}

// Counts losses, and knows of no promise but those that it is told of.
class CountingTier final : public TierDecorator {
 public:
  using TierDecorator::TierDecorator;
  std::optional<TierBlock> Find(std::string_view key) const override {
    std::optional<TierBlock> found = TierDecorator::Find(key);
    if (found) found->promised = promises_.contains({std::string(key), found->generation});
    return found;
  }
  absl::Status Promise(std::string_view key, uint64_t generation) override {
    promises_.emplace(key, generation);
    return absl::OkStatus();
  }

 private:
  std::set<std::pair<std::string, uint64_t>> promises_;
};

TEST_F(TieredStoreTest, PromiseOfWhatTheDiskHasAlreadyIsNotedBeforeItIsMade) {
  CountingTier counting(&disk_);
  BootOver(&counting, {});
  ASSERT_TRUE(Put("k", 1, {.durability = Durability::kPower}).ok());
  writes_.RunAll();
  EXPECT_FALSE(counting.Find("k")->promised);
  const absl::StatusOr<uint64_t> noted = store_->MakeDurable("k", Durability::kPower);
  ASSERT_TRUE(noted.ok()) << noted.status();
  EXPECT_TRUE(absl::IsUnknown(Result(*noted)));
  writes_.RunAll();
  EXPECT_TRUE(Result(*noted).ok());
  EXPECT_TRUE(counting.Find("k")->promised);
  EXPECT_EQ(*store_->MakeDurable("k", Durability::kPower), 0);
  store_.reset();
}

TEST_F(TieredStoreTest, WhatTheDiskDoesNotTakeIsLoggedNowAndThenWithoutKeys) {
  const auto fail_one = [this](const std::string& key) {
    disk_.FailStores(absl::OkStatus());
    clock_.Advance(kTierProbeInterval);
    store_->Step();
    writes_.RunAll();
    disk_.FailStores(absl::ResourceExhaustedError("no space"));
    ASSERT_TRUE(Put(key, 1, {.durability = Durability::kPower}).ok());
    writes_.RunAll();
  };
  ::testing::internal::CaptureStderr();
  fail_one("secret1");
  fail_one("secret2");
  const std::string first = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(first, HasSubstr("1 block with 16 KiB"));
  EXPECT_THAT(first, HasSubstr("RESOURCE_EXHAUSTED: no space"));
  EXPECT_THAT(first, Not(HasSubstr("secret")));
  EXPECT_EQ(std::ranges::count(first, '\n'), 1);
  ::testing::internal::CaptureStderr();
  fail_one("secret3");
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("2 blocks with 32 KiB, the largest 16 KiB"));
}

TEST_F(TieredStoreTest, SaveStepStoresEverythingThatMemoryHas) {
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(Put("k" + std::to_string(i), 1).ok());
  while (!store_->SaveStep()) writes_.RunAll();
  Boot({});  // As after a clean stop.
  for (int i = 0; i < 40; ++i) EXPECT_EQ(Get("k" + std::to_string(i)), 1) << i;
  ASSERT_TRUE(Put("k40", 1).ok());
  EXPECT_GT(store_->Stat("k40")->generation, 40);
}

TEST_F(TieredStoreTest, ListMergesBothPlaces) {
  PutBelow("b", 1);
  PutBelow("d", 1);
  ASSERT_EQ(Get("d"), 1);
  ASSERT_TRUE(Put("a", 1).ok());
  ASSERT_TRUE(Put("c", 1).ok());
  std::string listed;
  for (const KeyInfo& info : store_->List("", "", 10)) {
    listed += info.key + std::to_string(static_cast<int>(info.residency)) + " ";
  }
  EXPECT_EQ(listed, "a2 b4 c2 d3 ");
  EXPECT_EQ(store_->List("", "a", 2).size(), 2);
  EXPECT_EQ(store_->Stat("b")->residency, Residency::kDisk);
  EXPECT_EQ(store_->Stat("e").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(TieredStoreTest, ListPassesOverWhatIsHiddenAndNothingElse) {
  for (const char* key : {"a", "b", "c", "e"}) PutBelow(key, 1);
  ASSERT_TRUE(Put("f", 1).ok());
  // Their deletions have not reached the disk yet.
  EXPECT_EQ(store_->Remove("a"), TieredStore::Removed::kPending);
  EXPECT_EQ(store_->Remove("b"), TieredStore::Removed::kPending);
  std::string listed;
  for (const KeyInfo& info : store_->List("", "", 2)) listed += info.key + " ";
  EXPECT_EQ(listed, "c e ");
}

}  // namespace
}  // namespace kvasir
