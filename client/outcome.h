#ifndef KVASIR_CLIENT_OUTCOME_H_
#define KVASIR_CLIENT_OUTCOME_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "kvasir/v1/common.pb.h"

namespace kvasir {

// What became of one key of a batch, as the client's rules tell it apart; Client turns
// it into a Status and a counter.
enum class Outcome : uint8_t {
  kOk,          // hit, stored, removed
  kAbsent,      // the store does not have it
  kLate,        // not before a deadline: the call's or the lease's
  kChecksum,    // the bytes did not verify
  kSize,        // stored with another size than asked for
  kSkipped,     // the sink did not want it
  kNodeDown,    // no node, session or lane to ask
  kExists,      // put: already stored
  kInProgress,  // put: another client is filling it
  kRefused,     // put: no memory for it now
  kInvalid,     // breaks a limit; `detail` says which
  kOther,
};

struct KeyResult {
  Outcome outcome = Outcome::kOther;
  uint64_t size_bytes = 0;  // of a block that was moved
  std::string detail;       // for people; often empty
  bool on_disk = false;     // lookup: a hit that is not in memory
};

// What a node's answer about one key means.
Outcome OutcomeOf(v1::KeyOutcome outcome);
// What it means for every key of a request that the request as a whole failed.
Outcome OutcomeOf(const absl::Status& status);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_OUTCOME_H_
