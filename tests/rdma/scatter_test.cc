#include "rdma/scatter.h"

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace kvasir {
namespace {

TEST(ScatterCursor, SkipsEmptySlicesAndStopsAtTheBound) {
  std::array<std::byte, 10> memory;
  const std::span<std::byte> all(memory);
  const std::vector<std::span<std::byte>> slices = {all.first(0), all.first(4),
                                                    all.subspan(4, 0), all.subspan(4)};
  const ScatterCursor cursor(slices);
  std::array<iovec, 4> parts;
  uint64_t bytes = 0;
  ASSERT_EQ(cursor.Gather(parts, 6, &bytes), 2u);
  EXPECT_EQ(bytes, 6u);
  EXPECT_EQ(parts[0].iov_base, all.data());
  EXPECT_EQ(parts[0].iov_len, 4u);
  EXPECT_EQ(parts[1].iov_base, all.data() + 4);
  EXPECT_EQ(parts[1].iov_len, 2u);
  EXPECT_EQ(ScatterBytes(slices), 10u);
}

TEST(ScatterCursor, TakesNoMoreEntriesThanThereAre) {
  std::array<std::byte, 9> memory;
  std::vector<std::span<std::byte>> slices;
  for (size_t i = 0; i < 9; ++i) slices.push_back(std::span(memory).subspan(i, 1));
  const ScatterCursor cursor(slices);
  std::array<iovec, 3> parts;
  uint64_t bytes = 0;
  EXPECT_EQ(cursor.Gather(parts, 9, &bytes), 3u);
  EXPECT_EQ(bytes, 3u);
}

TEST(ScatterCursor, AnyStepsVisitEveryByteOnce) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::byte> memory(random() % 500);
    std::vector<std::span<std::byte>> slices;
    for (size_t at = 0; at < memory.size();) {
      const size_t size = std::min<size_t>(random() % 40, memory.size() - at);
      slices.push_back(std::span(memory).subspan(at, size));
      at += size;
    }
    ScatterCursor cursor(slices);
    const std::byte* expected = memory.data();
    for (size_t left = memory.size(); left > 0;) {
      std::array<iovec, 2> parts;
      uint64_t bytes = 0;
      const size_t count = cursor.Gather(parts, 1 + random() % 60, &bytes);
      ASSERT_GT(count, 0u);
      ASSERT_EQ(parts[0].iov_base, expected);
      const uint64_t step = 1 + random() % bytes;
      cursor.Advance(step);
      expected += step;
      left -= step;
    }
  }
}

}  // namespace
}  // namespace kvasir
