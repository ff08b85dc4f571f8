#ifndef KVASIR_STORAGE_SETTLEMENTS_H_
#define KVASIR_STORAGE_SETTLEMENTS_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace kvasir {

// What became of things that take a while, by number, for who asks later. Thread-safe;
// callbacks run on the thread that settles, without a lock.
//
// Bounds: forgets the oldest results beyond kMaxSettled; what is open, whoever opens it
//         bounds.
class Settlements {
 public:
  // A number, greater than 0, for one more.
  uint64_t Open() ABSL_LOCKS_EXCLUDED(mu_);
  // REQUIRES: it is open.
  void Settle(uint64_t id, absl::Status result) ABSL_LOCKS_EXCLUDED(mu_);
  // Nothing: it is still open. NotFound: there is none, or it was forgotten.
  std::optional<absl::Status> Result(uint64_t id) const ABSL_LOCKS_EXCLUDED(mu_);
  // Runs `settled` once it is; returns false, and never runs it, if it is not open.
  bool Await(uint64_t id, absl::AnyInvocable<void() &&> settled) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    std::optional<absl::Status> result;
    std::vector<absl::AnyInvocable<void() &&>> waiters;
  };

  mutable absl::Mutex mu_;
  uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  absl::flat_hash_map<uint64_t, Entry> entries_ ABSL_GUARDED_BY(mu_);
  std::deque<uint64_t> settled_ ABSL_GUARDED_BY(mu_);  // oldest first
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_SETTLEMENTS_H_
