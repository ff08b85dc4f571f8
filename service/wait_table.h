#ifndef KVASIR_SERVICE_WAIT_TABLE_H_
#define KVASIR_SERVICE_WAIT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"

namespace kvasir {

// Answers that are put off until something has happened or a time is up, whichever is
// first. Each runs once, without a lock, on the thread that fires it.
//
// Threads: every method from any thread.
// Bounds:  kMaxWaits.
class WaitTable {
 public:
  using Answer = absl::AnyInvocable<void() &&>;

  // A number for the wait, greater than 0; 0, and `answer` is gone, if there are too many.
  uint64_t Add(Instant deadline, Answer answer) ABSL_LOCKS_EXCLUDED(mu_);
  // Runs the answer, unless that was done.
  void Fire(uint64_t id) ABSL_LOCKS_EXCLUDED(mu_);
  // Drops the answer. False if it has run, or is running.
  bool Cancel(uint64_t id) ABSL_LOCKS_EXCLUDED(mu_);
  // Runs those whose time is up.
  void Step(Instant now) ABSL_LOCKS_EXCLUDED(mu_);
  size_t size() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    Instant deadline;
    Answer answer;
  };
  Answer Take(uint64_t id) ABSL_LOCKS_EXCLUDED(mu_);

  mutable absl::Mutex mu_;
  uint64_t last_id_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<uint64_t, Entry> entries_ ABSL_GUARDED_BY(mu_);
  std::set<std::pair<Instant, uint64_t>> by_deadline_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_WAIT_TABLE_H_
