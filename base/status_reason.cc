#include "base/status_reason.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/types/optional.h"
#include "base/bytes.h"

namespace kvasir {
namespace {

constexpr char kReasonUrl[] = "kvasir/reason";
constexpr char kRetryUrl[] = "kvasir/retry_after_ms";

std::string PayloadText(const absl::Status& status, const char* url) {
  const absl::optional<absl::Cord> payload = status.GetPayload(url);
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace

absl::Status WithReason(absl::Status status, std::string_view reason,
                        std::chrono::milliseconds retry_after) {
  if (status.ok()) return status;
  status.SetPayload(kReasonUrl, absl::Cord(ToAbsl(reason)));
  status.ErasePayload(kRetryUrl);  // That of an earlier reason.
  if (retry_after.count() > 0) {
    status.SetPayload(kRetryUrl, absl::Cord(std::to_string(retry_after.count())));
  }
  return status;
}

std::string ReasonOf(const absl::Status& status) { return PayloadText(status, kReasonUrl); }

std::chrono::milliseconds RetryAfterOf(const absl::Status& status) {
  int64_t ms = 0;
  if (!absl::SimpleAtoi(PayloadText(status, kRetryUrl), &ms)) ms = 0;
  return std::chrono::milliseconds(ms);
}

}  // namespace kvasir
