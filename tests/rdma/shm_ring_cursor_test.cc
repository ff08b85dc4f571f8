#include "rdma/shm_ring_cursor.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <utility>

namespace kvasir {
namespace {

TEST(ShmRingCursor, TakesPiecesOneAfterTheOther) {
  ShmRingCursor cursor(100);
  EXPECT_EQ(cursor.Take(40), 0u);
  EXPECT_EQ(cursor.Take(60), 40u);
  EXPECT_EQ(cursor.Take(1), std::nullopt);
  EXPECT_EQ(cursor.in_use(), 2u);
}

TEST(ShmRingCursor, WrapsToTheStartOnceTheOldestPieceIsBack) {
  ShmRingCursor cursor(100);
  ASSERT_EQ(cursor.Take(40), 0u);
  ASSERT_EQ(cursor.Take(40), 40u);
  EXPECT_EQ(cursor.Take(30), std::nullopt) << "the 20 bytes at the end are too few";
  cursor.GiveBack();
  EXPECT_EQ(cursor.Take(30), 0u);
  EXPECT_EQ(cursor.Take(11), std::nullopt) << "the piece at 40 is still in use";
  EXPECT_EQ(cursor.Take(10), 30u);
}

TEST(ShmRingCursor, StartsOverWheneverNothingIsInUse) {
  ShmRingCursor cursor(100);
  ASSERT_EQ(cursor.Take(70), 0u);
  cursor.GiveBack();
  EXPECT_EQ(cursor.Take(70), 0u);
}

TEST(ShmRingCursor, APieceLargerThanTheRingNeverFits) {
  ShmRingCursor cursor(100);
  EXPECT_EQ(cursor.Take(101), std::nullopt);
  EXPECT_EQ(cursor.Take(100), 0u);
}

TEST(ShmRingCursor, PiecesInUseNeverOverlapOrLeaveTheRing) {
  std::mt19937_64 random(20240607);
  for (int round = 0; round < 200; ++round) {
    const uint64_t ring_bytes = 1 + random() % 300;
    ShmRingCursor cursor(ring_bytes);
    std::deque<std::pair<uint64_t, uint64_t>> model;
    for (int step = 0; step < 300; ++step) {
      if (!model.empty() && random() % 2 == 0) {
        cursor.GiveBack();
        model.pop_front();
        continue;
      }
      const uint64_t size_bytes = 1 + random() % (1 + ring_bytes / 3);
      const std::optional<uint64_t> at = cursor.Take(size_bytes);
      ASSERT_TRUE(at.has_value() || !model.empty()) << size_bytes << " of " << ring_bytes;
      if (!at.has_value()) continue;
      ASSERT_LE(*at + size_bytes, ring_bytes);
      for (const auto& [begin, end] : model) {
        ASSERT_TRUE(*at + size_bytes <= begin || end <= *at) << *at << " in " << begin;
      }
      model.emplace_back(*at, *at + size_bytes);
    }
    ASSERT_EQ(cursor.in_use(), model.size());
  }
}

}  // namespace
}  // namespace kvasir
