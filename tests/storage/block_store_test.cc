#include "storage/block_store.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"

namespace kvasir {
namespace {

class BlockStoreTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kArenaBytes = kMiB;
  static constexpr uint64_t kBlock = 64 * kKiB;  // 16 fill the arena

  absl::StatusOr<Reservation> Reserve(std::string_view key, uint64_t size_bytes = kBlock,
                                      bool replace = false) {
    return store_.Reserve(key, {.size_bytes = size_bytes, .replace = replace});
  }
  Reservation MustReserve(std::string_view key, uint64_t size_bytes = kBlock,
                          bool replace = false) {
    absl::StatusOr<Reservation> made = Reserve(key, size_bytes, replace);
    EXPECT_TRUE(made.ok()) << made.status().ToString();
    return made.ok() ? *std::move(made) : Reservation();
  }
  void Put(std::string_view key, uint64_t size_bytes = kBlock, bool replace = false) {
    Reservation made = MustReserve(key, size_bytes, replace);
    std::memset(made.bytes().data(), key.back(), made.bytes().size());
    EXPECT_TRUE(store_.Commit(std::move(made), key.back()).ok());
  }
  void FillWith(std::string_view prefix, int blocks) {
    for (int i = 0; i < blocks; ++i) Put(std::string(prefix) + std::to_string(i));
  }
  void ExpectExactAccounts() {
    const BlockStore::Stats stats = store_.stats();
    const Arena::Usage usage = arena_.usage();
    EXPECT_EQ(usage.allocated_bytes,
              stats.block_bytes + stats.reserved_bytes + stats.unbound_bytes);
  }
  void TearDown() override { ExpectExactAccounts(); }

  const std::unique_ptr<Region> region_ =
      *Region::Map({.id = RegionId(3), .size_bytes = kArenaBytes});
  Arena arena_{region_.get()};
  BlockStore store_{&arena_, {}};
};

TEST_F(BlockStoreTest, ACommittedBlockIsFoundWithItsBytesAndInfo) {
  Reservation made = *store_.Reserve("key", {.size_bytes = 5000, .attributes = "shape"});
  EXPECT_EQ(store_.Probe("key"), Residency::kReserved);
  EXPECT_EQ(store_.Fetch("key").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(made.bytes().size(), 5000u);
  std::memset(made.bytes().data(), 'x', 5000);
  const Extent extent = made.extent();
  const uint64_t generation = made.generation();
  ASSERT_TRUE(store_.Commit(std::move(made), 77).ok());

  EXPECT_EQ(store_.Probe("key"), Residency::kMemory);
  const BlockRef ref = *store_.Fetch("key");
  EXPECT_EQ(ref.key(), "key");
  EXPECT_EQ(ref.size_bytes(), 5000u);
  EXPECT_EQ(ref.checksum(), 77u);
  EXPECT_EQ(ref.attributes(), "shape");
  EXPECT_GT(ref.generation(), generation);  // anew, at the commit
  EXPECT_EQ(ref.extent(), extent);
  EXPECT_EQ(ref.extent().region, RegionId(3));
  EXPECT_EQ(ref.bytes()[4999], std::byte{'x'});
  EXPECT_EQ(store_.stats().block_bytes, 2 * Arena::kUnitBytes);
}

TEST_F(BlockStoreTest, WhatBreaksALimitIsRefused) {
  const std::string long_key(kMaxKeyBytes + 1, 'k');
  const std::string long_attributes(kMaxAttributesBytes + 1, 'a');
  EXPECT_EQ(Reserve("").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Reserve(long_key).status().code(), absl::StatusCode::kInvalidArgument);
  for (const uint64_t size :
       {uint64_t{0}, kMaxBlockBytes + 1, uint64_t{1} << 63, UINT64_MAX}) {
    EXPECT_EQ(Reserve("key", size).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(store_.Reserve("key", {.size_bytes = 1, .attributes = long_attributes})
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Reserve("key", kArenaBytes + 1).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(store_.Probe("key"), Residency::kAbsent);
  EXPECT_EQ(arena_.usage().allocated_bytes, 0u);
}

TEST_F(BlockStoreTest, KeysAreOpaqueBytes) {
  using std::string_literals::operator""s;
  const std::vector<std::string> keys = {
      "a/b"s, ".."s, "\0"s, "a\0b"s, "a"s, "\xff"s, std::string(kMaxKeyBytes, 'k')};
  for (const std::string& key : keys) Put(key, 4096);
  for (const std::string& key : keys) EXPECT_TRUE(store_.Fetch(key).ok());
  EXPECT_EQ(store_.stats().blocks, keys.size());
}

TEST_F(BlockStoreTest, OneReservationFillsAKeyUnlessItReplaces) {
  Reservation first = MustReserve("key");
  EXPECT_EQ(Reserve("key").status().code(), absl::StatusCode::kAborted);
  Reservation second = MustReserve("key", kBlock, /*replace=*/true);
  EXPECT_NE(first.extent(), second.extent());
  EXPECT_GT(second.generation(), first.generation());
  EXPECT_EQ(store_.stats().reserved_blocks, 2u);
  ASSERT_TRUE(store_.Commit(std::move(first), 1).ok());
  EXPECT_EQ(Reserve("key").status().code(), absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(store_.Commit(std::move(second), 2).ok());
  EXPECT_EQ(store_.Fetch("key")->checksum(), 2u);
  EXPECT_EQ(store_.stats().blocks, 1u);
  EXPECT_EQ(arena_.usage().allocated_bytes, kBlock);
}

TEST_F(BlockStoreTest, TheFirstCommitWinsOverALaterOneThatDoesNotReplace) {
  Reservation slow = MustReserve("key");
  Reservation fast = MustReserve("key", kBlock, /*replace=*/true);
  ASSERT_TRUE(store_.Commit(std::move(fast), 1).ok());
  EXPECT_EQ(store_.Commit(std::move(slow), 2).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(store_.Fetch("key")->checksum(), 1u);
  EXPECT_EQ(arena_.usage().allocated_bytes, kBlock);
}

TEST_F(BlockStoreTest, AReplacedBlockKeepsItsBytesForItsReaders) {
  Put("key");
  BlockRef old = *store_.Fetch("key");
  Reservation made = MustReserve("key", 4096, /*replace=*/true);
  EXPECT_EQ(store_.Fetch("key")->generation(), old.generation());
  ASSERT_TRUE(store_.Commit(std::move(made), 2).ok());
  EXPECT_EQ(old.bytes()[0], std::byte{'y'});
  EXPECT_EQ(store_.stats().unbound_bytes, kBlock);
  EXPECT_GT(store_.Fetch("key")->generation(), old.generation());
  old = BlockRef();
  EXPECT_EQ(store_.stats().unbound_blocks, 0u);
  EXPECT_EQ(arena_.usage().allocated_bytes, 4096u);
}

TEST_F(BlockStoreTest, AnAbandonedReservationFreesItsMemoryAndKey) {
  { const Reservation made = MustReserve("key"); }
  EXPECT_EQ(store_.Probe("key"), Residency::kAbsent);
  EXPECT_EQ(arena_.usage().allocated_bytes, 0u);
  EXPECT_EQ(store_.stats().reserved_blocks, 0u);
  Put("key");
}

TEST_F(BlockStoreTest, AnUnboundReservationKeepsItsMemoryButNotItsKey) {
  Reservation expired = MustReserve("key");
  expired.Unbind();
  EXPECT_EQ(store_.Probe("key"), Residency::kAbsent);
  EXPECT_EQ(store_.stats().reserved_bytes, kBlock);
  Reservation next = MustReserve("key");
  EXPECT_NE(next.extent(), expired.extent());
  EXPECT_EQ(store_.Commit(std::move(expired), 1).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_.stats().reserved_bytes, kBlock);
  EXPECT_TRUE(store_.Commit(std::move(next), 2).ok());
}

TEST_F(BlockStoreTest, RemoveUnbindsTheKeyAndTheLastReaderFreesTheBytes) {
  EXPECT_EQ(store_.Remove("key").code(), absl::StatusCode::kNotFound);
  Put("key");
  BlockRef ref = *store_.Fetch("key");
  BlockRef other = ref.Share();
  ASSERT_TRUE(store_.Remove("key").ok());
  EXPECT_EQ(store_.Probe("key"), Residency::kAbsent);
  EXPECT_EQ(store_.stats().unbound_blocks, 1u);
  ref = BlockRef();
  EXPECT_EQ(other.bytes()[kBlock - 1], std::byte{'y'});
  EXPECT_EQ(arena_.usage().allocated_bytes, kBlock);
  other = BlockRef();
  EXPECT_EQ(arena_.usage().allocated_bytes, 0u);
}

TEST_F(BlockStoreTest, RemoveDoesNotDisturbAReservation) {
  Put("key");
  Reservation made = MustReserve("key", kBlock, /*replace=*/true);
  ASSERT_TRUE(store_.Remove("key").ok());
  EXPECT_EQ(store_.Probe("key"), Residency::kReserved);
  EXPECT_TRUE(store_.Commit(std::move(made), 9).ok());
  EXPECT_EQ(store_.Fetch("key")->checksum(), 9u);
}

TEST_F(BlockStoreTest, AFullStoreEvictsForANewBlock) {
  FillWith("old", 16);
  Put("new");
  EXPECT_EQ(store_.stats().blocks, 16u);
  EXPECT_EQ(store_.stats().evicted_blocks_total, 1u);
  EXPECT_EQ(store_.stats().evicted_bytes_total, kBlock);
  EXPECT_TRUE(store_.Fetch("new").ok());
}

TEST_F(BlockStoreTest, ABlockThatCanNeverFitEvictsNothing) {
  FillWith("k", 16);
  EXPECT_EQ(Reserve("large", kArenaBytes + 1).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(store_.stats().evicted_blocks_total, 0u);
  EXPECT_EQ(store_.stats().blocks, 16u);
}

TEST_F(BlockStoreTest, ReferencedAndReservedBlocksAreNeverEvicted) {
  std::vector<BlockRef> held;
  for (int i = 0; i < 15; ++i) {
    Put("held" + std::to_string(i));
    held.push_back(*store_.Fetch("held" + std::to_string(i)));
  }
  Reservation filling = MustReserve("filling");
  EXPECT_EQ(Reserve("new").status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(store_.Evict(1), 0u);
  EXPECT_EQ(store_.stats().evicted_blocks_total, 0u);
  // One reader lets go: just its block can be evicted now.
  held[4] = BlockRef();
  Put("new");
  EXPECT_EQ(store_.Probe("held4"), Residency::kAbsent);
  EXPECT_EQ(store_.stats().blocks, 15u);
}

TEST_F(BlockStoreTest, ALargeBlockEvictsNeighboursAndNoMore) {
  FillWith("small", 16);
  Put("large", 8 * kBlock);
  EXPECT_EQ(store_.stats().evicted_blocks_total, 8u);
  EXPECT_EQ(arena_.usage().allocated_bytes, kArenaBytes);
}

TEST_F(BlockStoreTest, ALargeBlockIsPlacedBetweenHeldOnesWhereverThereIsRoom) {
  FillWith("k", 16);
  std::vector<BlockRef> held;
  // Blocks lie in order of their keys; between 9 and 15 five neighbours can go.
  for (const int i : {0, 3, 6, 9, 15}) {
    held.push_back(*store_.Fetch("k" + std::to_string(i)));
  }
  EXPECT_EQ(Reserve("large", 6 * kBlock).status().code(),
            absl::StatusCode::kResourceExhausted);
  // A put that is refused at last costs at most the few that keep holes in the arena.
  const uint64_t blocks = store_.stats().blocks;
  EXPECT_GE(blocks, 15u);
  Put("large", 5 * kBlock);
  EXPECT_EQ(store_.stats().blocks, blocks - 5 + 1);
  for (const int i : {10, 11, 12, 13, 14}) {
    EXPECT_EQ(store_.Probe("k" + std::to_string(i)), Residency::kAbsent);
  }
}

TEST_F(BlockStoreTest, EvictFreesWhatIsAskedForAndStopsAtTheEnd) {
  FillWith("k", 16);
  const BlockRef held = *store_.Fetch("k3");
  EXPECT_EQ(store_.Evict(kBlock + 1), 2 * kBlock);
  EXPECT_EQ(store_.Evict(kArenaBytes), 13 * kBlock);
  EXPECT_EQ(store_.Evict(1), 0u);
  EXPECT_EQ(store_.Probe("k3"), Residency::kMemory);
}

TEST_F(BlockStoreTest, StatTellsOfOneKeyWithoutUsingIt) {
  EXPECT_EQ(store_.Stat("key").status().code(), absl::StatusCode::kNotFound);
  Put("key", 100);
  const BlockRef ref = *store_.Fetch("key");
  const KeyInfo info = *store_.Stat("key");
  EXPECT_EQ(info.key, "key");
  EXPECT_EQ(info.size_bytes, 100u);
  EXPECT_EQ(info.checksum, uint64_t{'y'});
  EXPECT_EQ(info.references, 1u);
  EXPECT_EQ(info.generation, ref.generation());
  EXPECT_EQ(info.residency, Residency::kMemory);
}

TEST_F(BlockStoreTest, ListMergesShardsInByteOrderPageByPage) {
  std::vector<std::string> keys;
  for (int i = 0; i < 200; ++i) keys.push_back("p/" + std::to_string(1000 + i));
  for (const std::string& key : keys) Put(key, 1);
  Put("o", 1);
  Put("q", 1);
  Put("p", 1);
  std::vector<std::string> listed;
  std::string after;
  while (true) {
    const std::vector<KeyInfo> page = store_.List("p/", after, 37);
    for (const KeyInfo& info : page) listed.push_back(info.key);
    if (page.size() < 37) break;
    after = page.back().key;
  }
  EXPECT_EQ(listed, keys);
  EXPECT_EQ(store_.List("", "", 1000).size(), 203u);
  EXPECT_EQ(store_.List("", "p/1199", 10).front().key, "q");
  EXPECT_TRUE(store_.List("r", "", 10).empty());
  EXPECT_TRUE(store_.List("", "", 0).empty());
}

TEST_F(BlockStoreTest, MovedFromReferencesAreEmpty) {
  Put("key");
  BlockRef ref = *store_.Fetch("key");
  BlockRef moved = std::move(ref);
  EXPECT_TRUE(ref.empty());
  EXPECT_FALSE(moved.empty());
  Reservation made = MustReserve("other");
  Reservation taken = std::move(made);
  EXPECT_TRUE(made.empty());
  made = std::move(taken);
  EXPECT_EQ(store_.stats().reserved_blocks, 1u);
}

}  // namespace
}  // namespace kvasir
