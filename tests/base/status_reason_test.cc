#include "base/status_reason.h"

#include <gtest/gtest.h>

namespace kvasir {
namespace {

using std::chrono::milliseconds;

TEST(StatusReasonTest, ReasonAndRetryComeBack) {
  const absl::Status status =
      WithReason(absl::UnavailableError("drain: going"), kReasonDraining, milliseconds(250));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "drain: going");
  EXPECT_EQ(ReasonOf(status), kReasonDraining);
  EXPECT_EQ(RetryAfterOf(status), milliseconds(250));
}

TEST(StatusReasonTest, WithoutOneItIsEmptyAndZero) {
  EXPECT_EQ(ReasonOf(absl::NotFoundError("get: miss")), "");
  EXPECT_EQ(RetryAfterOf(absl::NotFoundError("get: miss")), milliseconds(0));
  EXPECT_EQ(RetryAfterOf(WithReason(absl::InternalError("x"), kReasonLimit)), milliseconds(0));
}

TEST(StatusReasonTest, AnOkStatusStaysPlain) {
  const absl::Status status = WithReason(absl::OkStatus(), kReasonLimit, milliseconds(5));
  EXPECT_EQ(status, absl::OkStatus());
  EXPECT_EQ(ReasonOf(status), "");
  EXPECT_EQ(RetryAfterOf(status), milliseconds(0));
}

TEST(StatusReasonTest, ASecondReasonReplacesTheFirstAndItsRetry) {
  const absl::Status first =
      WithReason(absl::UnavailableError("x"), kReasonDraining, milliseconds(250));
  const absl::Status second = WithReason(first, kReasonSessionUnknown);
  EXPECT_EQ(ReasonOf(second), kReasonSessionUnknown);
  EXPECT_EQ(RetryAfterOf(second), milliseconds(0));
}

}  // namespace
}  // namespace kvasir
