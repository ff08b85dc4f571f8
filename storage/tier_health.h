#ifndef KVASIR_STORAGE_TIER_HEALTH_H_
#define KVASIR_STORAGE_TIER_HEALTH_H_

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/limits.h"

namespace kvasir {

// Ordered: the greater, the worse.
enum class TierState : uint8_t {
  kHealthy,
  kDbSlow,      // works, but calls take long
  kDbReadOnly,  // full, or writes fail: loads go on, nothing is stored
  kMemoryOnly,  // reads fail too, or there is no database: nothing is loaded either
};
// "HEALTHY", "DB_SLOW", "DB_READ_ONLY", "MEMORY_ONLY".
std::string_view TierStateName(TierState state);

// How a tier is, judged by what its calls came to. Does no IO and has no clock: whoever
// calls the tier tells it of each call, and probes the tier when it says so.
//
// One failed store makes the tier read-only: the next would fail alike, and each costs
// whoever waits for it. kTierLoadFailuresMax failed loads in a row make it memory-only.
// From both a probe that succeeds leads back, and one is due every kTierProbeInterval; so
// the tier is in use again at most that long, and a probe, after its disk is well. A tier
// that is absent is memory-only too, until whoever owns it says that it is there.
//
// Threads: every method from any thread.
// Bounds:  an entry for each call under way.
class TierHealth {
 public:
  enum class Call : uint8_t { kStore, kDelete, kLoad };

  // A call to the tier begins. The id is for End.
  uint64_t Begin(Instant now) ABSL_LOCKS_EXCLUDED(mu_);
  // It came to `status`. A delete that fails is like a store that does, but one that
  // succeeds proves little: it takes no space. For a load NotFound and DataLoss are
  // answers like OK; only Unavailable tells of the disk.
  void End(uint64_t id, Call call, const absl::Status& status, Instant now)
      ABSL_LOCKS_EXCLUDED(mu_);
  // There is no tier now, for that reason, and nothing to probe. Until SetPresent.
  void SetAbsent(std::string_view reason) ABSL_LOCKS_EXCLUDED(mu_);
  void SetPresent() ABSL_LOCKS_EXCLUDED(mu_);

  // Sees calls that do not return. True if the tier is to be probed now: with a store,
  // and a load of what it stored, told of like any other call.
  bool Step(Instant now) ABSL_LOCKS_EXCLUDED(mu_);

  bool may_store() const ABSL_LOCKS_EXCLUDED(mu_);
  bool may_load() const ABSL_LOCKS_EXCLUDED(mu_);
  TierState state() const ABSL_LOCKS_EXCLUDED(mu_);
  // For people: what brought it into this state. Empty if healthy.
  std::string reason() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void OnStoreLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnLoadLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  TierState StateLocked() const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;
  // Why there is no tier, or why stores, or loads, are off; empty if not so.
  std::string absence_ ABSL_GUARDED_BY(mu_);
  std::string store_fault_ ABSL_GUARDED_BY(mu_);
  std::string load_fault_ ABSL_GUARDED_BY(mu_);
  size_t load_failures_ ABSL_GUARDED_BY(mu_) = 0;  // in a row
  bool slow_ ABSL_GUARDED_BY(mu_) = false;
  Instant slow_until_ ABSL_GUARDED_BY(mu_);
  Instant next_probe_ ABSL_GUARDED_BY(mu_);
  uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  absl::flat_hash_map<uint64_t, Instant> begun_ ABSL_GUARDED_BY(mu_);  // by id
  std::set<std::pair<Instant, uint64_t>> by_age_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_TIER_HEALTH_H_
