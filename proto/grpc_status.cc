#include "proto/grpc_status.h"

#include <chrono>
#include <string>

#include "base/status_reason.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "proto/codec.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

std::string MakeDetails(const absl::Status& status, const std::string& message) {
  google::rpc::Status details;
  details.set_code(static_cast<int32_t>(status.code()));
  details.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(Utf8OrEscaped(ReasonOf(status)));
  info.set_domain(kErrorDomain);
  details.add_details()->PackFrom(info);
  if (const milliseconds after = RetryAfterOf(status); after.count() > 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(after.count() / 1000);
    retry.mutable_retry_delay()->set_nanos(after.count() % 1000 * 1'000'000);
    details.add_details()->PackFrom(retry);
  }
  return details.SerializeAsString();
}

// What the details say; an empty reason if nothing that is ours.
struct Details {
  std::string reason;
  milliseconds retry_after{0};
};

Details ParseDetails(const std::string& bytes) {
  Details parsed;
  google::rpc::Status details;
  if (!details.ParseFromString(bytes)) return parsed;
  google::rpc::ErrorInfo info;
  google::rpc::RetryInfo retry;
  for (const google::protobuf::Any& detail : details.details()) {
    if (detail.UnpackTo(&info) && info.domain() == kErrorDomain) {
      parsed.reason = info.reason();
    } else if (detail.UnpackTo(&retry)) {
      parsed.retry_after = milliseconds(retry.retry_delay().seconds() * 1000 +
                                        retry.retry_delay().nanos() / 1'000'000);
    }
  }
  return parsed;
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::string message =
      Utf8OrEscaped({status.message().data(), status.message().size()});
  if (ReasonOf(status).empty()) return grpc::Status(code, message);
  return grpc::Status(code, message, MakeDetails(status, message));
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status made(ErrorCodeFromWire(status.error_code()), status.error_message());
  if (status.error_details().empty()) return made;
  const Details details = ParseDetails(status.error_details());
  if (details.reason.empty()) return made;
  return WithReason(std::move(made), details.reason, details.retry_after);
}

}  // namespace kvasir
