#ifndef KVASIR_BASE_STATUS_REASON_H_
#define KVASIR_BASE_STATUS_REASON_H_

#include <chrono>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace kvasir {

// Attaches a machine-readable reason such as "SESSION_UNKNOWN", and how long to wait
// before a retry may help (0: it does not). On the wire these are google.rpc.ErrorInfo
// and RetryInfo. No effect on an OK status.
absl::Status WithReason(absl::Status status, std::string_view reason,
                        std::chrono::milliseconds retry_after = std::chrono::milliseconds(0));
// Empty, or 0, if none was attached.
std::string ReasonOf(const absl::Status& status);
std::chrono::milliseconds RetryAfterOf(const absl::Status& status);

// Reasons that programs act on.
inline constexpr std::string_view kReasonSessionUnknown = "SESSION_UNKNOWN";
inline constexpr std::string_view kReasonLaneUnknown = "LANE_UNKNOWN";
inline constexpr std::string_view kReasonDraining = "DRAINING";
inline constexpr std::string_view kReasonLimit = "LIMIT_EXCEEDED";
inline constexpr std::string_view kReasonBadRequest = "BAD_REQUEST";

}  // namespace kvasir

#endif  // KVASIR_BASE_STATUS_REASON_H_
