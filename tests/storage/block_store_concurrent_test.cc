#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "storage/block_store.h"
#include "tests/storage/described_bytes.h"

namespace kvasir {
namespace {

constexpr uint64_t kArenaBytes = 2 * kMiB;
constexpr int kKeys = 96;  // twice what the arena holds, so that eviction never rests

std::string KeyOf(uint64_t i) { return "key/" + std::to_string(i); }

uint64_t SizeOf(std::mt19937_64* random) {
  return 1 + (*random)() % (uint64_t{4} << (10 + (*random)() % 6));  // up to 128 KiB
}

class ConcurrentStore : public ::testing::TestWithParam<EvictionPolicyKind> {
 protected:
  // Runs every task in a thread of its own and waits for all.
  static void RunAll(const std::vector<std::function<void(uint64_t seed)>>& tasks) {
    std::vector<std::thread> threads;
    for (size_t i = 0; i < tasks.size(); ++i) threads.emplace_back(tasks[i], i + 1);
    for (std::thread& thread : threads) thread.join();
  }

  void Write(uint64_t seed, int rounds) {
    std::mt19937_64 random(seed);
    for (int i = 0; i < rounds; ++i) {
      const std::string key = KeyOf(random() % kKeys);
      absl::StatusOr<Reservation> made = store_.Reserve(
          key, {.size_bytes = SizeOf(&random), .replace = random() % 4 == 0});
      if (!made.ok()) continue;
      // Known by a checksum of its own: the generation comes with the commit.
      const uint64_t name = made->generation();
      const DescribedBytes described(key, name);
      described.Fill(made->bytes());
      // Some writers die: at once, or as a grant that ran out and waits for its fence.
      const uint64_t fate = random() % 8;
      if (fate == 0) continue;
      if (fate == 1) made->Unbind();
      const absl::Status status = store_.Commit(*std::move(made), name);
      if (status.ok()) ++commits_;
      EXPECT_EQ(fate == 1, status.code() == absl::StatusCode::kFailedPrecondition);
    }
  }

  void Read(uint64_t seed, int rounds) {
    std::mt19937_64 random(seed);
    std::deque<BlockRef> held;
    for (int i = 0; i < rounds; ++i) {
      absl::StatusOr<BlockRef> ref = store_.Fetch(KeyOf(random() % kKeys));
      if (ref.ok()) held.push_back(random() % 2 == 0 ? ref->Share() : *std::move(ref));
      // Held for a while first: bytes must not change under a reference.
      if (held.size() > 6) {
        Verify(held.front());
        held.pop_front();
      }
    }
    for (const BlockRef& ref : held) Verify(ref);
  }

  void Verify(const BlockRef& ref) {
    ++reads_;
    if (!DescribedBytes(ref.key(), ref.checksum()).Match(ref.bytes())) ++mismatches_;
  }

  void Evict(uint64_t seed, int rounds) {
    std::mt19937_64 random(seed);
    for (int i = 0; i < rounds; ++i) {
      store_.Evict(random() % (256 * kKiB));
      if (random() % 4 == 0) (void)store_.Remove(KeyOf(random() % kKeys));
      if (random() % 16 == 0) (void)store_.List("key/", "", 20);
      std::this_thread::yield();
    }
  }

  const std::unique_ptr<Region> region_ = *Region::Map({.size_bytes = kArenaBytes});
  Arena arena_{region_.get()};
  BlockStore store_{&arena_, {.eviction_policy = GetParam()}};
  std::atomic<uint64_t> commits_{0};
  std::atomic<uint64_t> reads_{0};
  std::atomic<uint64_t> mismatches_{0};
};

TEST_P(ConcurrentStore, ReadersInAnEvictionStormNeverSeeWrongBytes) {
  Write(/*seed=*/99, 200);  // So that the first reader finds something.
  std::atomic<int> writers{2};
  const auto write = [&](uint64_t seed) {
    Write(seed, 3000);
    --writers;
  };
  // A reader whose threads come first on a busy machine reads on while others write.
  const auto read = [&](uint64_t seed) {
    do Read(seed, 6000);
    while (writers > 0);
  };
  const auto evict = [this](uint64_t seed) { Evict(seed, 1500); };
  RunAll({write, read, write, read, evict});
  EXPECT_EQ(mismatches_, 0u);
  EXPECT_GT(reads_, 0u);
  EXPECT_GT(commits_, 0u);

  const BlockStore::Stats stats = store_.stats();
  EXPECT_EQ(stats.reserved_blocks, 0u);
  EXPECT_EQ(stats.unbound_blocks, 0u);
  EXPECT_EQ(stats.block_bytes, arena_.usage().allocated_bytes);
  EXPECT_EQ(stats.blocks, store_.List("", "", 2 * kKeys).size());
  // Nobody holds anything now, so eviction must reach every block.
  EXPECT_EQ(store_.Evict(kArenaBytes), stats.block_bytes);
  EXPECT_EQ(store_.stats().blocks, 0u);
  EXPECT_EQ(arena_.usage().largest_free_bytes, kArenaBytes);
}

TEST_P(ConcurrentStore, ExactlyOneOfTwoWritersWinsEachKey) {
  constexpr int kRounds = 500;
  std::atomic<int> wins{0};
  const auto race = [this, &wins](uint64_t) {
    for (int i = 0; i < kRounds; ++i) {
      const std::string key = "race/" + std::to_string(i);
      absl::StatusOr<Reservation> made = store_.Reserve(key, {.size_bytes = 100});
      if (made.ok() && store_.Commit(*std::move(made), 0).ok()) ++wins;
    }
  };
  RunAll({race, race, race});
  EXPECT_EQ(wins, kRounds);
  EXPECT_EQ(store_.stats().blocks, uint64_t{kRounds});
}

TEST_P(ConcurrentStore, APutIsNotRefusedWhileEnoughIsUnreferenced) {
  std::atomic<int> refused{0};
  const auto put = [this, &refused](uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int i = 0; i < 2000; ++i) {
      const std::string key = std::to_string(seed) + "/" + std::to_string(i);
      // Four of these at most are reserved at once: a fourth of the arena.
      absl::StatusOr<Reservation> made =
          store_.Reserve(key, {.size_bytes = SizeOf(&random)});
      if (made.ok()) {
        EXPECT_TRUE(store_.Commit(*std::move(made), 0).ok());
      } else {
        ++refused;
      }
    }
  };
  RunAll({put, put, put, put});
  EXPECT_EQ(refused, 0);
}

std::string NameOf(const ::testing::TestParamInfo<EvictionPolicyKind>& info) {
  return std::string(EvictionPolicyName(info.param));
}

INSTANTIATE_TEST_SUITE_P(Policies, ConcurrentStore,
                         ::testing::Values(EvictionPolicyKind::kS3Fifo,
                                           EvictionPolicyKind::kSieve,
                                           EvictionPolicyKind::kLru,
                                           EvictionPolicyKind::kLfu,
                                           EvictionPolicyKind::kFifo),
                         NameOf);

}  // namespace
}  // namespace kvasir
