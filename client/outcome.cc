#include "client/outcome.h"

namespace kvasir {

Outcome OutcomeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return Outcome::kOk;
    case absl::StatusCode::kDeadlineExceeded:
      return Outcome::kLate;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kUnauthenticated:
      return Outcome::kNodeDown;
    case absl::StatusCode::kInvalidArgument:
      return Outcome::kInvalid;
    case absl::StatusCode::kResourceExhausted:
      return Outcome::kRefused;
    default:
      return Outcome::kOther;
  }
}

Outcome OutcomeOf(v1::KeyOutcome outcome) {
  switch (outcome) {
    case v1::KEY_OUTCOME_OK:
      return Outcome::kOk;
    case v1::KEY_OUTCOME_MISS:
      return Outcome::kAbsent;
    case v1::KEY_OUTCOME_EXISTS:
      return Outcome::kExists;
    case v1::KEY_OUTCOME_IN_PROGRESS:
      return Outcome::kInProgress;
    case v1::KEY_OUTCOME_REFUSED:
      return Outcome::kRefused;
    case v1::KEY_OUTCOME_INVALID:
      return Outcome::kInvalid;
    case v1::KEY_OUTCOME_EXPIRED:
    case v1::KEY_OUTCOME_PROMOTING:  // The disk took longer than the call had time.
    case v1::KEY_OUTCOME_PENDING:
      return Outcome::kLate;
    case v1::KEY_OUTCOME_CHECKSUM_MISMATCH:
      return Outcome::kChecksum;
    default:
      return Outcome::kOther;
  }
}

}  // namespace kvasir
