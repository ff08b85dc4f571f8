#include "storage/tier_segments.h"

#include "base/limits.h"
#include "gtest/gtest.h"

namespace kvasir {
namespace {

using Numbers = std::vector<uint64_t>;

// A segment of `file_bytes`, all of it records, of which `live_bytes` are live.
void Add(TierSegments* segments, uint64_t number, uint64_t file_bytes,
         uint64_t live_bytes) {
  segments->Add(
      {.number = number, .file_bytes = file_bytes, .record_bytes = file_bytes});
  if (live_bytes > 0) segments->AddLive(number, live_bytes);
}

TEST(TierSegments, CountsFilesAndFindsTheOldest) {
  TierSegments segments(64 * kMiB);
  EXPECT_EQ(segments.OldestAfter(0), std::nullopt);
  Add(&segments, 7, 100, 50);
  Add(&segments, 3, 200, 50);
  EXPECT_EQ(segments.used_bytes(), 300u);
  EXPECT_EQ(segments.OldestAfter(0), 3u);
  EXPECT_EQ(segments.OldestAfter(3), 7u);
  segments.Remove(3);
  EXPECT_EQ(segments.used_bytes(), 100u);
  EXPECT_EQ(segments.OldestAfter(0), 7u);
}

TEST(TierSegments, SegmentIsDeadWhenItsLastBlockGoes) {
  TierSegments segments(64 * kMiB);
  Add(&segments, 1, 64 * kMiB, 0);
  segments.AddLive(1, 10);
  segments.AddLive(1, 20);
  segments.SubtractLive(1, 10);
  EXPECT_EQ(segments.Dead(), Numbers{});
  segments.SubtractLive(1, 20);
  EXPECT_EQ(segments.Dead(), Numbers{1});
}

TEST(TierSegments, MostlyDeadOnesAreRewrittenTogether) {
  TierSegments segments(1000);
  Add(&segments, 1, 1000, 400);
  Add(&segments, 2, 1000, 240);
  Add(&segments, 3, 1000, 240);
  EXPECT_EQ(segments.ToRewrite(), (Numbers{2, 3}));
}

TEST(TierSegments, RewritesAtMostASegmentOfLiveBytes) {
  TierSegments segments(500);
  for (uint64_t i = 1; i <= 4; ++i) Add(&segments, i, 1000, 240);
  EXPECT_EQ(segments.ToRewrite(), (Numbers{1, 2}));
}

TEST(TierSegments, SmallOnesOfLikeSizeAreMergedOnceThereAreEnough) {
  TierSegments segments(64 * kMiB);
  for (uint64_t i = 1; i < kTierMergeWidth; ++i) Add(&segments, i, 100'000, 100'000);
  Add(&segments, 100, 64 * kMiB, 64 * kMiB);
  Add(&segments, 101, 4 * kMiB, 4 * kMiB);
  EXPECT_EQ(segments.ToRewrite(), Numbers{});
  Add(&segments, 102, 110'000, 110'000);
  EXPECT_EQ(segments.ToRewrite(), (Numbers{1, 2, 3, 4, 5, 6, 7, 102}));
}

TEST(TierSegments, WhatIsFixedIsNotRewritten) {
  TierSegments segments(1000);
  Add(&segments, 1, 1000, 10);
  segments.Fix(1);
  EXPECT_EQ(segments.ToRewrite(), Numbers{});
  EXPECT_FALSE(segments.WantsMaintenance());
}

TEST(TierSegments, BooksOfASegmentThatIsGoneStayClosed) {
  TierSegments segments(1000);
  segments.AddLive(9, 10);
  segments.SubtractLive(9, 10);
  segments.Remove(9);
  EXPECT_FALSE(segments.Find(9).has_value());
  EXPECT_EQ(segments.count(), 0u);
}

}  // namespace
}  // namespace kvasir
