#ifndef KVASIR_SERVICE_PUT_OPS_H_
#define KVASIR_SERVICE_PUT_OPS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "base/limits.h"

namespace kvasir {

// What a session's puts have come to, by op_id, so that a put whose answer was lost can
// be asked again. Forgets the oldest ops; a put that is forgotten is simply granted, or
// answered EXISTS, like a new one. Thread-safe.
//
// Bounds: kMaxRememberedOps ops and kMaxRememberedPuts keys.
class PutOps {
 public:
  enum class State : uint8_t {
    kOpen,
    kCommitted,
    kExists,
    kChecksumMismatch,
    kSettling,   // committed, but not to be acknowledged before its settlement is OK
    kNotStored,  // its settlement failed
    kExistsUnsettled,  // another's block, that this put is to find durable
  };
  // Asked for again, it may have another state.
  static bool IsUnsettled(State state) {
    return state == State::kSettling || state == State::kExistsUnsettled;
  }
  struct Put {
    // ChecksumSeed of the key. Two keys of one op that collide would make the second
    // look committed: a miss later, at odds of 2^-44 for 1024 keys.
    uint64_t key_hash = 0;
    LeaseId lease{};
    LaneId lane{};
    State state = State::kOpen;
    uint64_t settlement = 0;  // while settling or unsettled
  };

  // The latest put of each key that is known of `op_id`, by key_hash. Empty for a new op.
  absl::flat_hash_map<uint64_t, Put> Find(uint64_t op_id) const ABSL_LOCKS_EXCLUDED(mu_);
  // Adds puts that were granted now.
  void Grant(uint64_t op_id, std::span<const Put> puts) ABSL_LOCKS_EXCLUDED(mu_);
  // What became of a lease of `op_id`. Nothing if it is not known.
  std::optional<Put> FindLease(uint64_t op_id, LeaseId lease) const
      ABSL_LOCKS_EXCLUDED(mu_);
  // Takes in the state and settlement of `put`, which its lease names.
  void Settle(uint64_t op_id, const Put& put) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Puts = std::vector<Put>;  // Sorted by lease, which is in the order of granting.
  static std::optional<size_t> IndexOf(const Puts& puts, LeaseId lease);
  void ForgetOldestLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;
  absl::flat_hash_map<uint64_t, Puts> ops_ ABSL_GUARDED_BY(mu_);
  std::deque<uint64_t> order_ ABSL_GUARDED_BY(mu_);  // op_ids, oldest first
  size_t puts_ ABSL_GUARDED_BY(mu_) = 0;             // of all ops together
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_PUT_OPS_H_
