#include "client/node_client_status.h"

#include <grpc/support/time.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "base/status_reason.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace kvasir {
namespace {

absl::StatusCode CodeOf(int grpc_code) {
  // Both follow google.rpc.Code.
  const bool known = grpc_code >= 0 && grpc_code <= 16;
  return known ? static_cast<absl::StatusCode>(grpc_code) : absl::StatusCode::kUnknown;
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  std::string reason;
  std::chrono::milliseconds retry_after{0};
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& any : details.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::RetryInfo retry;
      if (any.UnpackTo(&info)) reason = info.reason();
      if (any.UnpackTo(&retry)) {
        retry_after = std::chrono::seconds(retry.retry_delay().seconds()) +
                      std::chrono::milliseconds(retry.retry_delay().nanos() / 1'000'000);
      }
    }
  }
  absl::Status ours(CodeOf(status.error_code()), status.error_message());
  if (reason.empty() && retry_after.count() == 0) return ours;
  return WithReason(std::move(ours), reason, retry_after);
}

absl::Status FromLaneError(const v1::LaneError& error) {
  absl::Status status(CodeOf(error.code()), error.message());
  // A lane error is an error, whatever its sender thinks.
  if (status.ok()) return absl::InternalError("read reply on lane: an error of code OK");
  if (error.reason().empty() && error.retry_after_ms() == 0) return status;
  return WithReason(std::move(status), error.reason(),
                    std::chrono::milliseconds(error.retry_after_ms()));
}

gpr_timespec ToGrpcDeadline(const Clock& clock, Instant deadline) {
  const auto left = std::max(deadline - clock.Now(), BootClock::duration::zero());
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(left.count(), GPR_TIMESPAN));
}

}  // namespace kvasir
