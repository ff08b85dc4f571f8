#include "rdma/verbs_memory_index.h"

#include <array>
#include <span>

#include "gtest/gtest.h"

namespace kvasir {
namespace {

constexpr VerbsLocalKeys kFirst = {1, 2};
constexpr VerbsLocalKeys kSecond = {3, 4};

class VerbsMemoryIndexTest : public testing::Test {
 protected:
  std::span<const std::byte> Bytes(size_t from, size_t size) const {
    return std::span(memory_).subspan(from, size);
  }
  std::array<std::byte, 1000> memory_{};
  VerbsMemoryIndex index_;
};

TEST_F(VerbsMemoryIndexTest, FindsWhatOneRangeHolds) {
  index_.Add(Bytes(100, 100), kFirst);
  EXPECT_EQ(index_.Find(Bytes(100, 100)), kFirst);
  EXPECT_EQ(index_.Find(Bytes(150, 50)), kFirst);
  EXPECT_EQ(index_.Find(Bytes(99, 2)), std::nullopt);
  EXPECT_EQ(index_.Find(Bytes(199, 2)), std::nullopt);
  EXPECT_EQ(index_.Find(Bytes(500, 1)), std::nullopt);
}

TEST_F(VerbsMemoryIndexTest, TwoRangesTogetherHoldNothingMore) {
  index_.Add(Bytes(0, 100), kFirst);
  index_.Add(Bytes(100, 100), kSecond);
  EXPECT_EQ(index_.Find(Bytes(99, 1)), kFirst);
  EXPECT_EQ(index_.Find(Bytes(100, 1)), kSecond);
  EXPECT_EQ(index_.Find(Bytes(99, 2)), std::nullopt);
}

TEST_F(VerbsMemoryIndexTest, ALargeRangeIsFoundBehindSmallOnes) {
  index_.Add(Bytes(0, 1000), kFirst);
  for (size_t i = 1; i < VerbsMemoryIndex::kRangesLookedAt; ++i) {
    index_.Add(Bytes(i, 1), kSecond);
  }
  EXPECT_EQ(index_.Find(Bytes(500, 100)), kFirst);
}

TEST_F(VerbsMemoryIndexTest, WhatIsRemovedIsGoneAndItsTwinStays) {
  index_.Add(Bytes(0, 100), kFirst);
  index_.Add(Bytes(0, 100), kSecond);
  index_.Remove(Bytes(0, 100), kFirst);
  EXPECT_EQ(index_.Find(Bytes(0, 100)), kSecond);
  index_.Remove(Bytes(0, 100), kSecond);
  EXPECT_EQ(index_.Find(Bytes(0, 1)), std::nullopt);
}

}  // namespace
}  // namespace kvasir
