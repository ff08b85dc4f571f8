#include "storage/eviction_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/limits.h"
#include "storage/arena.h"
#include "storage/ghost_table.h"

namespace kvasir {
namespace {

constexpr std::initializer_list<EvictionPolicyKind> kAll = {
    EvictionPolicyKind::kS3Fifo, EvictionPolicyKind::kSieve, EvictionPolicyKind::kLru,
    EvictionPolicyKind::kLfu, EvictionPolicyKind::kFifo};

// A cache of `blocks_max` one-page blocks that an order alone decides about.
class Cache {
 public:
  Cache(EvictionPolicyKind kind, size_t blocks_max)
      : region_(*Region::Map({.size_bytes = blocks_max * Arena::kUnitBytes})),
        arena_(region_.get()),
        // Each page counts as a typical block, so that there are ghosts enough.
        order_(EvictionOrder::Make(kind, blocks_max * 64 * kKiB)),
        blocks_max_(blocks_max) {}
  ~Cache() {
    while (!blocks_.empty()) Drop(blocks_.begin()->second);
  }

  bool Get(const std::string& key) {
    const auto it = blocks_.find(key);
    if (it == blocks_.end()) return false;
    it->second->CountUse();
    if (!order_->touch_is_lazy()) order_->Touch(it->second);
    return true;
  }
  // Returns the key that was evicted for it, if one was.
  std::string Put(const std::string& key) {
    std::string evicted;
    if (blocks_.size() == blocks_max_) evicted = EvictOne();
    Block* const block = Block::New(key, "", Arena::kUnitBytes, 1);
    EXPECT_TRUE(arena_.Allocate(Arena::kUnitBytes, block).ok());
    order_->Insert(block);
    blocks_[key] = block;
    return evicted;
  }
  std::string EvictOne() {
    Block* const victim = order_->PopVictim();
    if (victim == nullptr) return "";
    order_->NoteEvicted(*victim);
    std::string key(victim->key());
    Drop(victim);
    return key;
  }
  void Remove(const std::string& key) { Drop(blocks_.at(key)); }
  std::vector<std::string> Coldest(size_t blocks_max) {
    std::vector<std::string> keys;
    order_->VisitColdest(blocks_max, [&keys](Block* b) { keys.emplace_back(b->key()); });
    return keys;
  }
  Block* at(const std::string& key) { return blocks_.at(key); }
  EvictionOrder* order() { return order_.get(); }
  size_t size() const { return blocks_.size(); }

 private:
  void Drop(Block* block) {
    if (block->place == Block::Place::kLinked) order_->Unlink(block);
    blocks_.erase(std::string(block->key()));
    arena_.Free(block);
    Block::Delete(block);
  }

  const std::unique_ptr<Region> region_;
  Arena arena_;
  const std::unique_ptr<EvictionOrder> order_;
  const size_t blocks_max_;
  std::map<std::string, Block*> blocks_;
};

std::vector<std::string> EvictAll(Cache* cache) {
  std::vector<std::string> keys;
  while (cache->size() > 0) keys.push_back(cache->EvictOne());
  return keys;
}

using Keys = std::vector<std::string>;

TEST(EvictionPolicyTest, NamesAreParsedBack) {
  for (const EvictionPolicyKind kind : kAll) {
    EXPECT_EQ(*ParseEvictionPolicy(EvictionPolicyName(kind)), kind);
  }
  const absl::Status status = ParseEvictionPolicy("LRU").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("\"LRU\""), absl::string_view::npos);
  EXPECT_NE(status.message().find("s3fifo"), absl::string_view::npos);
}

TEST(FifoOrderTest, TheOldestGoesFirstUsedOrNot) {
  Cache cache(EvictionPolicyKind::kFifo, 4);
  for (const char* key : {"a", "b", "c", "d"}) cache.Put(key);
  cache.Get("a");
  EXPECT_EQ(cache.Coldest(2), (Keys{"a", "b"}));
  EXPECT_EQ(EvictAll(&cache), (Keys{"a", "b", "c", "d"}));
}

TEST(LruOrderTest, TheLongestUnusedGoesFirst) {
  Cache cache(EvictionPolicyKind::kLru, 4);
  for (const char* key : {"a", "b", "c", "d"}) cache.Put(key);
  cache.Get("a");
  cache.Get("c");
  EXPECT_EQ(cache.Coldest(9), (Keys{"b", "d", "a", "c"}));
  EXPECT_EQ(EvictAll(&cache), (Keys{"b", "d", "a", "c"}));
}

TEST(LfuOrderTest, TheLeastUsedGoesFirstAndTheOldestOfEquals) {
  Cache cache(EvictionPolicyKind::kLfu, 4);
  for (const char* key : {"a", "b", "c", "d"}) cache.Put(key);
  for (int i = 0; i < 200; ++i) cache.Get("a");
  cache.Get("b");
  cache.Get("b");
  cache.Get("c");
  EXPECT_EQ(cache.Coldest(3), (Keys{"d", "c", "b"}));
  EXPECT_EQ(EvictAll(&cache), (Keys{"d", "c", "b", "a"}));
}

TEST(SieveOrderTest, TheHandSparesWhatWasUsedSinceItLastCameBy) {
  Cache cache(EvictionPolicyKind::kSieve, 4);
  for (const char* key : {"a", "b", "c", "d"}) cache.Put(key);
  cache.Get("a");
  cache.Get("b");
  EXPECT_EQ(cache.Put("e"), "c");  // a and b are spared, the hand stands at d
  EXPECT_EQ(cache.Put("f"), "d");
  cache.Get("e");
  EXPECT_EQ(cache.Put("g"), "f");  // e is spared; from the newest the hand goes to a
  EXPECT_EQ(cache.Coldest(1), (Keys{"a"}));
  EXPECT_EQ(EvictAll(&cache), (Keys{"a", "b", "e", "g"}));
}

TEST(SieveOrderTest, TheHandSurvivesTheRemovalOfItsBlock) {
  Cache cache(EvictionPolicyKind::kSieve, 4);
  for (const char* key : {"a", "b", "c", "d"}) cache.Put(key);
  EXPECT_EQ(cache.Put("e"), "a");
  cache.Remove("b");  // the hand stood here
  EXPECT_EQ(EvictAll(&cache), (Keys{"c", "d", "e"}));
}

TEST(S3FifoOrderTest, UsedBlocksOutliveTheSmallQueueAndUnusedOnesDoNot) {
  Cache cache(EvictionPolicyKind::kS3Fifo, 10);
  for (int i = 0; i < 10; ++i) cache.Put("k" + std::to_string(i));
  cache.Get("k0");
  cache.Get("k2");
  EXPECT_EQ(cache.Put("x0"), "k1");
  EXPECT_EQ(cache.Put("x1"), "k3");
  // A scan of new blocks pushes out new blocks, not the used ones.
  for (int i = 2; i < 100; ++i) cache.Put("x" + std::to_string(i));
  EXPECT_TRUE(cache.Get("k0"));
  EXPECT_TRUE(cache.Get("k2"));
}

TEST(S3FifoOrderTest, AGhostComesBackToTheMainQueue) {
  Cache cache(EvictionPolicyKind::kS3Fifo, 10);
  for (int i = 0; i < 11; ++i) cache.Put("k" + std::to_string(i));
  EXPECT_FALSE(cache.Get("k0"));
  cache.Put("k0");  // remembered: straight to main
  for (int i = 0; i < 100; ++i) cache.Put("x" + std::to_string(i));
  EXPECT_TRUE(cache.Get("k0"));
}

TEST(S3FifoOrderTest, ARemovedBlockIsNoGhost) {
  Cache cache(EvictionPolicyKind::kS3Fifo, 10);
  for (int i = 0; i < 10; ++i) cache.Put("k" + std::to_string(i));
  cache.Remove("k0");
  cache.Put("k0");
  for (int i = 0; i < 100; ++i) cache.Put("x" + std::to_string(i));
  EXPECT_FALSE(cache.Get("k0"));
}

TEST(GhostTableTest, RemembersWhatIsInTheWindowOnce) {
  GhostTable ghosts(1024);
  for (int i = 0; i < 100; ++i) ghosts.Add(std::to_string(i));
  EXPECT_FALSE(ghosts.Take("100", 1000));
  EXPECT_TRUE(ghosts.Take("99", 1));
  EXPECT_FALSE(ghosts.Take("99", 1000));
  EXPECT_FALSE(ghosts.Take("50", 49));
  EXPECT_TRUE(ghosts.Take("51", 49));
}

TEST(GhostTableTest, StaysBoundedAndForgetsTheOldest) {
  GhostTable ghosts(1024);
  EXPECT_EQ(ghosts.memory_bytes(), 1024u * 8);
  for (int i = 0; i < 100'000; ++i) ghosts.Add(std::to_string(i));
  EXPECT_EQ(ghosts.memory_bytes(), 1024u * 8);
  int recent = 0;
  for (int i = 100'000 - 256; i < 100'000; ++i) {
    recent += ghosts.Take(std::to_string(i), 1024) ? 1 : 0;
  }
  // Buckets of 8 overflow now and then, long before the table is full.
  EXPECT_GT(recent, 250);
  EXPECT_FALSE(ghosts.Take("7", 1024));
}

class EveryOrder : public ::testing::TestWithParam<EvictionPolicyKind> {};

TEST_P(EveryOrder, EveryBlockIsAVictimOnceAndNoneAfterRemoval) {
  std::mt19937_64 random(5);
  Cache cache(GetParam(), 64);
  std::set<std::string> in;
  for (int i = 0; i < 5000; ++i) {
    const std::string key = std::to_string(random() % 200);
    if (random() % 10 == 0 && in.contains(key)) {
      cache.Remove(key);
      in.erase(key);
    } else if (!cache.Get(key)) {
      const std::string evicted = cache.Put(key);
      ASSERT_EQ(in.erase(evicted), evicted.empty() ? 0u : 1u);
      in.insert(key);
    }
    ASSERT_EQ(in.size(), cache.size());
  }
  for (const std::string& key : EvictAll(&cache)) EXPECT_EQ(in.erase(key), 1u);
  EXPECT_TRUE(in.empty());
}

TEST_P(EveryOrder, ABlockThatComesBackIsAVictimAgain) {
  Cache cache(GetParam(), 4);
  for (const char* key : {"a", "b", "c", "d"}) cache.Put(key);
  Block* const victim = cache.order()->PopVictim();
  EXPECT_EQ(victim->place, Block::Place::kNone);
  cache.order()->Return(victim);
  EXPECT_EQ(victim->place, Block::Place::kLinked);
  Keys evicted = EvictAll(&cache);
  std::sort(evicted.begin(), evicted.end());
  EXPECT_EQ(evicted, (Keys{"a", "b", "c", "d"}));
}

TEST_P(EveryOrder, TheColdestAreVisitedWithoutBeingChanged) {
  Cache cache(GetParam(), 32);
  for (int i = 0; i < 32; ++i) cache.Put(std::to_string(i));
  const Keys first = cache.Coldest(8);
  EXPECT_EQ(first.size(), 8u);
  EXPECT_EQ(cache.Coldest(8), first);
  EXPECT_EQ(cache.EvictOne(), first[0]);
}

// Hits per get of a Zipf trace of which a third is a scan that never comes back.
double HitRatio(EvictionPolicyKind kind) {
  constexpr int kObjects = 3000, kGets = 30'000;
  std::vector<double> cumulated;
  double sum = 0;
  for (int i = 0; i < kObjects; ++i) cumulated.push_back(sum += std::pow(i + 1, -0.9));
  std::mt19937_64 random(3);
  Cache cache(kind, kObjects / 20);
  int hits = 0, gets = 0;
  for (int i = 0; i < kGets; ++i) {
    const bool scan = i % 3 == 0;
    const double at = static_cast<double>(random() >> 11) * 0x1p-53 * sum;
    const auto object =
        std::lower_bound(cumulated.begin(), cumulated.end(), at) - cumulated.begin();
    const std::string key = scan ? "scan" + std::to_string(i) : std::to_string(object);
    const bool hit = cache.Get(key);
    if (!hit) cache.Put(key);
    if (scan || i < kGets / 4) continue;
    ++gets;
    hits += hit ? 1 : 0;
  }
  return static_cast<double>(hits) / gets;
}

TEST(EvictionOrderTest, ScansDoNotWashOutWhatIsUsed) {
  const double fifo = HitRatio(EvictionPolicyKind::kFifo);
  const double lru = HitRatio(EvictionPolicyKind::kLru);
  const double s3_fifo = HitRatio(EvictionPolicyKind::kS3Fifo);
  const double sieve = HitRatio(EvictionPolicyKind::kSieve);
  EXPECT_GT(lru, fifo);
  EXPECT_GT(s3_fifo, 1.3 * fifo);
  EXPECT_GT(s3_fifo, 1.2 * lru);
  EXPECT_GT(sieve, 1.3 * fifo);
}

std::string NameOf(const ::testing::TestParamInfo<EvictionPolicyKind>& info) {
  return std::string(EvictionPolicyName(info.param));
}

INSTANTIATE_TEST_SUITE_P(Policies, EveryOrder, ::testing::ValuesIn(kAll), NameOf);

}  // namespace
}  // namespace kvasir
