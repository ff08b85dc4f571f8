// The budget, and many threads at once.

#include <algorithm>
#include <atomic>
#include <random>

#include "absl/strings/str_cat.h"
#include "base/executor.h"
#include "base/limits.h"
#include "tests/storage/tier_contract.h"

namespace kvasir {
namespace {

constexpr size_t kBlockBytes = 64 * kKiB;
constexpr uint64_t kSmallCapacityBytes = 16 * kMiB;

TierBatch BatchOf(size_t first, size_t count) {
  TierBatch batch;
  for (size_t i = first; i < first + count; ++i) {
    batch.Add(absl::StrCat("key-", i), i + 1, kBlockBytes);
  }
  return batch;
}

}  // namespace

TEST_P(TierContract, BatchBeyondTheBudgetIsRefusedAndChangesNothing) {
  Make(kSmallCapacityBytes);
  ASSERT_TRUE(Store(BatchOf(0, 8)).ok());
  TierBatch big = BatchOf(0, 1);
  for (int i = 0; i < 3; ++i) big.Add(absl::StrCat("big", i), 1000, 8 * kMiB);
  EXPECT_EQ(Store(big).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Keys("", "", 100).size(), 8u);
  EXPECT_EQ(Keys("big", "", 100).size(), 0u);
  EXPECT_EQ(GenerationOf("key-0"), 1u);
}

TEST_P(TierContract, BudgetHoldsAndTheNewestStays) {
  Make(kSmallCapacityBytes);
  constexpr size_t kBatch = 16;
  for (size_t first = 0; first < 1024; first += kBatch) {
    ASSERT_TRUE(Store(BatchOf(first, kBatch)).ok());
    const Tier::Stats stats = tier()->stats();
    ASSERT_LE(stats.used_bytes, stats.capacity_bytes);
    ASSERT_LE(stats.block_bytes, stats.used_bytes);
    for (size_t i = first; i < first + kBatch; ++i) {
      ASSERT_EQ(GenerationOf(absl::StrCat("key-", i)), i + 1) << i;
    }
  }
  const Tier::Stats stats = tier()->stats();
  EXPECT_EQ(stats.blocks + stats.dropped_blocks, 1024u);
  EXPECT_EQ(stats.dropped_bytes, stats.dropped_blocks * kBlockBytes);
  // A tier that kept less than a half would waste the disk.
  EXPECT_GE(stats.block_bytes, kSmallCapacityBytes / 2);
  EXPECT_EQ(GenerationOf("key-0"), 0u);
}

TEST_P(TierContract, WhatIsListedIsThereAndWhatIsDroppedIsNotListed) {
  Make(kSmallCapacityBytes);
  for (size_t first = 0; first < 512; first += 32) {
    ASSERT_TRUE(Store(BatchOf(first, 32), Durability::kProcess).ok());
  }
  for (int i = 0; i < 2; ++i) {
    const std::vector<std::string> keys = Keys("", "", 10'000);
    EXPECT_EQ(keys.size(), tier()->stats().blocks);
    for (const std::string& key : keys) EXPECT_EQ(Load(key), absl::OkStatus()) << key;
    Reopen();
  }
}

TEST_P(TierContract, LoadedLatelyOutlivesWhatWasNot) {
  Make(kSmallCapacityBytes);
  constexpr size_t kOld = 128;
  constexpr size_t kWarm = 16;
  for (size_t first = 0; first < kOld; first += 16) {
    ASSERT_TRUE(Store(BatchOf(first, 16)).ok());
  }
  // Every eighth is read now and then while twice the budget streams through.
  size_t next = kOld;
  for (int round = 0; round < 32; ++round) {
    for (size_t i = 0; i < kOld; i += kOld / kWarm) {
      ASSERT_EQ(Load(absl::StrCat("key-", i)), absl::OkStatus()) << i << " " << round;
    }
    ASSERT_TRUE(Store(BatchOf(next, 16)).ok());
    next += 16;
  }
  for (size_t i = 0; i < kOld; ++i) {
    const bool warm = i % (kOld / kWarm) == 0;
    EXPECT_EQ(GenerationOf(absl::StrCat("key-", i)), warm ? i + 1 : 0) << i;
  }
}

TEST_P(TierContract, WhatIsDeletedMakesRoom) {
  Make(kSmallCapacityBytes);
  for (size_t first = 0; first < 1024; first += 16) {
    ASSERT_TRUE(Store(BatchOf(first, 16)).ok());
    for (size_t i = first; i < first + 16; ++i) {
      ASSERT_TRUE(DeleteOne(absl::StrCat("key-", i), i + 1).ok());
    }
  }
  EXPECT_EQ(tier()->stats().blocks, 0u);
  EXPECT_EQ(tier()->stats().block_bytes, 0u);
  EXPECT_EQ(tier()->stats().dropped_blocks, 0u);
  EXPECT_LE(tier()->stats().used_bytes, kSmallCapacityBytes / 2);
}

TEST_P(TierContract, DeadNeighboursDoNotPushLiveBlocksOut) {
  Make(kSmallCapacityBytes);
  // One of each 16 stays; what lies dead around it must not push it out.
  for (size_t first = 0; first < 512; first += 16) {
    ASSERT_TRUE(Store(BatchOf(first, 16)).ok());
    for (size_t i = first + 1; i < first + 16; ++i) {
      ASSERT_TRUE(DeleteOne(absl::StrCat("key-", i), i + 1).ok());
    }
  }
  EXPECT_EQ(tier()->stats().blocks, 32u);
  for (size_t i = 0; i < 512; i += 16) {
    EXPECT_EQ(Load(absl::StrCat("key-", i)), absl::OkStatus()) << i;
  }
}

TEST_P(TierContract, ConcurrentUseOfTheSameKeysNeverGivesWrongBytes) {
  Make(kSmallCapacityBytes);
  constexpr int kThreads = 4;
  constexpr int kRounds = 150;
  constexpr uint64_t kKeys = 24;
  std::atomic<uint64_t> generation{0};
  std::atomic<int> hits{0};
  std::atomic<int> refused{0};
  {
    ThreadPool pool({.name = "tier-users", .threads = kThreads});
    for (int thread = 0; thread < kThreads; ++thread) {
      ASSERT_TRUE(pool.Submit([&, thread] {
        std::mt19937_64 random(thread);
        for (int round = 0; round < kRounds; ++round) {
          const std::string key = absl::StrCat("key-", random() % kKeys);
          const uint64_t dice = random() % 10;
          if (dice < 3) {
            const uint64_t now = generation.fetch_add(2) + 1;
            const auto durability = static_cast<Durability>(random() % 3);
            TierBatch batch;
            batch.Add(key, now, 1 + random() % 300'000);
            batch.Add(absl::StrCat("key-", random() % kKeys), now + 1, 5000);
            refused += !Store(batch, durability).ok();
          } else if (dice < 4) {
            refused += !DeleteOne(key, GenerationOf(key)).ok();
          } else {
            const absl::Status status = Load(key);
            hits += status.ok();
            refused += !status.ok() && status.code() != absl::StatusCode::kNotFound;
          }
        }
      }));
    }
  }
  EXPECT_EQ(refused, 0);
  EXPECT_GT(hits, 0);
  Reopen();
  for (const std::string& key : Keys("", "", 1000)) {
    EXPECT_EQ(Load(key), absl::OkStatus()) << key;
  }
}

TEST_P(TierContract, DeleteBeatsAStoreThatIsUnderWay) {
  for (uint64_t round = 1; round <= 30; ++round) {
    const std::string key = absl::StrCat("key-", round);
    {
      ThreadPool pool({.name = "tier-racers", .threads = 2});
      ASSERT_TRUE(pool.Submit([&] { EXPECT_TRUE(StoreOne(key, round, 5000).ok()); }));
      ASSERT_TRUE(pool.Submit([&] { EXPECT_TRUE(DeleteOne(key, round).ok()); }));
    }
    ASSERT_EQ(GenerationOf(key), 0u) << round;
  }
  Reopen();
  EXPECT_EQ(Keys("", "", 10), std::vector<std::string>{});
}

}  // namespace kvasir
