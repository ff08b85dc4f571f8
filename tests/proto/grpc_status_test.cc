#include "proto/grpc_status.h"

#include <gtest/gtest.h>

#include "base/status_reason.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

TEST(GrpcStatus, OkIsOkBothWays) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpcStatus(grpc::Status::OK).ok());
}

TEST(GrpcStatus, ReasonAndRetryDelayComeBack) {
  const absl::Status status = WithReason(absl::ResourceExhaustedError("sessions: 1000 open"),
                                         kReasonLimit, milliseconds(1'500));
  EXPECT_EQ(FromGrpcStatus(ToGrpcStatus(status)), status);
}

TEST(GrpcStatus, DetailsAreThePublicMessagesInOurDomain) {
  const grpc::Status status = ToGrpcStatus(
      WithReason(absl::UnavailableError("draining"), kReasonDraining, milliseconds(1'500)));
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), 14);
  EXPECT_EQ(details.message(), "draining");
  ASSERT_EQ(details.details_size(), 2);
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "DRAINING");
  EXPECT_EQ(info.domain(), "kvasir");
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(details.details(1).UnpackTo(&retry));
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 500'000'000);
}

TEST(GrpcStatus, WithoutAReasonThereAreNoDetails) {
  const grpc::Status status = ToGrpcStatus(absl::NotFoundError("stat: no such key"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_TRUE(status.error_details().empty());
}

TEST(GrpcStatus, DetailsOfAnotherDomainAreDropped) {
  google::rpc::ErrorInfo info;
  info.set_reason("QUOTA");
  info.set_domain("example.com");
  google::rpc::Status details;
  details.add_details()->PackFrom(info);
  const grpc::Status status(grpc::StatusCode::UNAVAILABLE, "m", details.SerializeAsString());
  EXPECT_EQ(FromGrpcStatus(status), absl::UnavailableError("m"));
}

TEST(GrpcStatus, DetailsThatDoNotParseAreDropped) {
  const grpc::Status status(grpc::StatusCode::INTERNAL, "m", "\xFF\xFF\xFF");
  EXPECT_EQ(FromGrpcStatus(status), absl::InternalError("m"));
}

}  // namespace
}  // namespace kvasir
