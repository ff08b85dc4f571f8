#include "client/cli/latency.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>

#include "tests/support/manual_clock.h"

namespace kvasir {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

TEST(LatencyHistogram, WithoutSamplesEverythingIsZero) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.Quantile(0.5).count(), 0);
  EXPECT_EQ(histogram.percentiles().p99_us, 0);
}

TEST(LatencyHistogram, QuantilesAreOfTheNearestRank) {
  LatencyHistogram histogram;
  for (int i = 1; i <= 100; ++i) histogram.Add(nanoseconds(i));
  EXPECT_EQ(histogram.Quantile(0.50).count(), 50);
  EXPECT_EQ(histogram.Quantile(0.95).count(), 95);
  EXPECT_EQ(histogram.Quantile(0.99).count(), 99);
  EXPECT_EQ(histogram.Quantile(1.0).count(), 100);
}

TEST(LatencyHistogram, AQuantileIsNeverBelowItsSampleAndAtMost08PercentAbove) {
  for (int64_t ns = 1; ns < int64_t{1} << 60; ns = ns * 5 / 4 + 1) {
    LatencyHistogram histogram;
    histogram.Add(nanoseconds(ns));
    const int64_t answer = histogram.Quantile(0.5).count();
    EXPECT_GE(answer, ns);
    EXPECT_LE(static_cast<double>(answer), static_cast<double>(ns) * 1.0079);
  }
}

TEST(LatencyHistogram, TheExtremesFit) {
  LatencyHistogram histogram;
  histogram.Add(nanoseconds(-5));
  histogram.Add(nanoseconds(0));
  EXPECT_EQ(histogram.Quantile(1.0).count(), 0);
  histogram.Add(nanoseconds(std::numeric_limits<int64_t>::max()));
  EXPECT_EQ(histogram.Quantile(1.0).count(), std::numeric_limits<int64_t>::max());
}

TEST(LatencyHistogram, MergeAddsUp) {
  LatencyHistogram low, high;
  for (int i = 0; i < 98; ++i) low.Add(microseconds(1));
  for (int i = 0; i < 2; ++i) high.Add(microseconds(1000));
  low.Merge(high);
  EXPECT_EQ(low.count(), 100u);
  EXPECT_NEAR(low.percentiles().p50_us, 1, 0.1);
  EXPECT_NEAR(low.percentiles().p99_us, 1000, 8);
}

TEST(BusyTime, OverlappingSpansCountOnce) {
  ManualClock clock;
  BusyTime busy(&clock);
  const nanoseconds outer = busy.Measure([&] {
    clock.Advance(microseconds(10));
    const nanoseconds inner = busy.Measure([&] { clock.Advance(microseconds(5)); });
    EXPECT_EQ(inner, microseconds(5));
  });
  EXPECT_EQ(outer, microseconds(15));
  clock.Advance(microseconds(100));
  busy.Measure([&] { clock.Advance(microseconds(1)); });
  EXPECT_EQ(busy.total(), microseconds(16));
}

TEST(GigabytesPerSecond, IsBytesPerNanosecond) {
  EXPECT_EQ(GigabytesPerSecond(3'000'000'000, std::chrono::seconds(2)), 1.5);
  EXPECT_EQ(GigabytesPerSecond(5, nanoseconds(0)), 0);
}

}  // namespace
}  // namespace kvasir
