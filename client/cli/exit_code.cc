#include "client/cli/exit_code.h"

#include <fmt/core.h>

#include "base/bytes.h"
#include "base/status_reason.h"

namespace kvasir {

ExitCode ExitCodeOf(const absl::Status& status) {
  // A node that drains does answer.
  if (ReasonOf(status) == kReasonDraining) return ExitCode::kError;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitCode::kOk;
    case absl::StatusCode::kInvalidArgument:
      return ExitCode::kUsage;
    case absl::StatusCode::kNotFound:
      return ExitCode::kNotFound;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return ExitCode::kUnreachable;
    default:
      return ExitCode::kError;
  }
}

ExitCode ExitCodeOfCount(size_t found, size_t asked) {
  if (found == asked) return ExitCode::kOk;
  return found == 0 ? ExitCode::kNotFound : ExitCode::kPartial;
}

std::string Explain(const absl::Status& status, std::string_view server) {
  const std::string_view message = ToStd(status.message());
  if (ReasonOf(status) == kReasonDraining) {
    return fmt::format("{} is draining and takes nothing new: {}", server, message);
  }
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return fmt::format(
          "cannot reach {}: {}\n"
          "Is kvasird running there? --server HOST:PORT or KVASIR_SERVER names another "
          "node.",
          server, message);
    case absl::StatusCode::kDeadlineExceeded:
      return fmt::format("{} did not answer in time: {}\n--timeout gives it longer.",
                         server, message);
    default:
      return std::string(message);
  }
}

}  // namespace kvasir
