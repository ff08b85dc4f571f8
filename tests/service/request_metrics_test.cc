#include "service/request_metrics.h"

#include <gtest/gtest.h>

namespace kvasir {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

TEST(RequestMetrics, ARecordFallsIntoTheFirstBucketThatHoldsIt) {
  RequestMetrics metrics;
  metrics.Record(Method::kLookup, nanoseconds(0), absl::StatusCode::kOk);
  metrics.Record(Method::kLookup, microseconds(2), absl::StatusCode::kOk);
  metrics.Record(Method::kLookup, nanoseconds(2'001), absl::StatusCode::kOk);
  metrics.Record(Method::kLookup, std::chrono::seconds(60), absl::StatusCode::kInternal);
  const RequestMetrics::Snapshot read = metrics.Read(Method::kLookup);
  EXPECT_EQ(read.buckets[0], 2u);
  EXPECT_EQ(read.buckets[1], 1u);
  EXPECT_EQ(read.buckets.back(), 1u);
  EXPECT_EQ(read.count, 4u);
  EXPECT_EQ(read.sum, std::chrono::seconds(60) + nanoseconds(4'001));
  EXPECT_EQ(read.codes[0], 3u);
  EXPECT_EQ(read.codes[13], 1u);
}

TEST(RequestMetrics, MethodsAreCountedApart) {
  RequestMetrics metrics;
  metrics.Record(Method::kCommit, microseconds(1), absl::StatusCode::kOk);
  EXPECT_EQ(metrics.Read(Method::kAbort).count, 0u);
  EXPECT_EQ(metrics.Read(Method::kCommit).count, 1u);
}

TEST(RequestMetrics, ATimeBelowZeroDoesNotSpoilTheSum) {
  RequestMetrics metrics;
  metrics.Record(Method::kLookup, nanoseconds(-5), absl::StatusCode::kOk);
  EXPECT_EQ(metrics.Read(Method::kLookup).sum, nanoseconds(0));
}

TEST(RequestMetrics, EveryMethodHasAName) {
  for (size_t i = 0; i < kMethods; ++i) {
    EXPECT_FALSE(MethodName(static_cast<Method>(i)).empty());
  }
  EXPECT_EQ(MethodName(Method::kAdmin), "Admin");
}

}  // namespace
}  // namespace kvasir
