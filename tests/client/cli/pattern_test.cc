#include "client/cli/replay/pattern.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <vector>

namespace kvasir {
namespace {

using Block = std::vector<std::byte>;

Block Filled(uint64_t id, size_t size_bytes, uint64_t salt = 7) {
  Block block(size_bytes);
  BlockPattern(salt).Fill(id, block);
  return block;
}

// Sizes around the word and the 4 KiB stride.
const size_t kSizes[] = {1, 7, 8, 9, 4095, 4096, 4097, 12289, 65536};

TEST(BlockPattern, WhatWasFilledVerifies) {
  const BlockPattern pattern(7);
  for (const size_t size_bytes : kSizes) {
    Block block = Filled(3, size_bytes);
    EXPECT_EQ(pattern.VerifyAndSpoil(3, block), std::nullopt) << size_bytes;
  }
}

TEST(BlockPattern, AFlippedBitIsFoundWhereverItIs) {
  const BlockPattern pattern(7);
  for (const size_t size_bytes : kSizes) {
    for (size_t offset = 0; offset < size_bytes; offset += 1 + size_bytes / 97) {
      Block block = Filled(3, size_bytes);
      block[offset] ^= std::byte{0x10};
      EXPECT_EQ(pattern.VerifyAndSpoil(3, block), offset) << size_bytes;
    }
    Block block = Filled(3, size_bytes);
    block.back() ^= std::byte{1};
    EXPECT_EQ(pattern.VerifyAndSpoil(3, block), size_bytes - 1);
  }
}

TEST(BlockPattern, TheFirstOfSeveralWrongBytesIsNamed) {
  Block block = Filled(3, 65536);
  for (const size_t offset : {60000, 5000, 9000}) block[offset] ^= std::byte{1};
  EXPECT_EQ(BlockPattern(7).VerifyAndSpoil(3, block), 5000u);
}

TEST(BlockPattern, ABlockPassesOnceOnly) {
  const BlockPattern pattern(7);
  for (const size_t size_bytes : kSizes) {
    Block block = Filled(3, size_bytes);
    const Block original = block;
    ASSERT_EQ(pattern.VerifyAndSpoil(3, block), std::nullopt);
    for (size_t i = 0; i < size_bytes; ++i) {
      ASSERT_NE(block[i], original[i]) << "no byte is left that would pass again";
    }
    EXPECT_TRUE(pattern.VerifyAndSpoil(3, block).has_value());
  }
}

TEST(BlockPattern, BlocksOfOtherIdsSizesAndSaltsDoNotPass) {
  const BlockPattern pattern(7);
  Block other_id = Filled(4, 4096);
  EXPECT_TRUE(pattern.VerifyAndSpoil(3, other_id).has_value());
  Block other_salt = Filled(3, 4096, 8);
  EXPECT_TRUE(pattern.VerifyAndSpoil(3, other_salt).has_value());
  Block longer = Filled(3, 8192);
  EXPECT_TRUE(pattern.VerifyAndSpoil(3, std::span(longer).first(4096)).has_value());
  Block zeros(4096);
  EXPECT_TRUE(pattern.VerifyAndSpoil(3, zeros).has_value());
}

TEST(BlockPattern, RightBytesAtTheWrongPlaceDoNotPass) {
  const BlockPattern pattern(7);
  Block shifted = Filled(3, 8192);
  std::rotate(shifted.begin(), shifted.begin() + 8, shifted.end());
  EXPECT_TRUE(pattern.VerifyAndSpoil(3, shifted).has_value());
  Block swapped = Filled(3, 8192);
  std::swap_ranges(swapped.begin(), swapped.begin() + 4096, swapped.begin() + 4096);
  EXPECT_EQ(pattern.VerifyAndSpoil(3, swapped), 0u);
  Block repeated = Filled(3, 8192);
  std::memcpy(repeated.data() + 4096, repeated.data(), 4096);
  EXPECT_EQ(pattern.VerifyAndSpoil(3, repeated), 4096u);
}

TEST(BlockPattern, NoTwoWordsOfABlockAreEqual) {
  const Block block = Filled(3, 1 << 20);
  std::vector<uint64_t> words(block.size() / 8);
  std::memcpy(words.data(), block.data(), block.size());
  EXPECT_EQ(std::set<uint64_t>(words.begin(), words.end()).size(), words.size());
}

}  // namespace
}  // namespace kvasir
