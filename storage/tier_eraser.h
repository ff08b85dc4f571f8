#ifndef KVASIR_STORAGE_TIER_ERASER_H_
#define KVASIR_STORAGE_TIER_ERASER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/limits.h"
#include "storage/tier_health.h"
#include "storage/tier_mask.h"

namespace kvasir {

// Takes blocks out of the tier: hides them at once, and deletes them in batches on an
// executor. A deletion that fails stays hidden and is tried again until the tier takes it:
// to show the block again would bring back what somebody has replaced.
//
// Threads: every method from any thread, Step from one at a time.
// Bounds:  callers keep to kMaxErasures through `full`.
class TierEraser {
 public:
  struct World {
    Executor* executor = nullptr;
    const Clock* clock = nullptr;
    TierMask* mask = nullptr;
    TierHealth* health = nullptr;
  };
  using Done = absl::AnyInvocable<void(const absl::Status& status) &&>;

  // Nothing in `world` is owned; all must outlive this, and the executor's tasks end first.
  explicit TierEraser(const World& world) : world_(world) {}

  // Hides the key's blocks of `generation` and before, now, and deletes them soon.
  // `done` runs once that is durable, or has failed for the first time.
  void Erase(std::string_view key, uint64_t generation, Done done)
      ABSL_LOCKS_EXCLUDED(mu_);

  enum class Fate : uint8_t { kNone, kUnderWay, kFailed };
  // Whether a deletion of the key waits for the tier; kFailed if that has failed before.
  Fate Find(std::string_view key) const ABSL_LOCKS_EXCLUDED(mu_);
  // Runs `settled` when the deletion of the key is done or has failed; returns false, and
  // never runs it, unless Find says kUnderWay.
  bool Await(std::string_view key, absl::AnyInvocable<void() &&> settled)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool full() const ABSL_LOCKS_EXCLUDED(mu_);
  size_t size() const ABSL_LOCKS_EXCLUDED(mu_);

  // Tries again what failed kTierProbeInterval ago, if the tier takes stores.
  void Step() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    uint64_t generation = 0;
    bool queued = false;
    bool failed = false;
    std::vector<Done> done;
  };
  struct Batch {
    std::vector<std::string> keys;
    std::vector<uint64_t> generations;
    std::vector<std::vector<Done>> done;
  };

  void Pump() ABSL_LOCKS_EXCLUDED(mu_);
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  Batch Take() ABSL_LOCKS_EXCLUDED(mu_);
  void Finish(Batch* batch, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  const World world_;
  mutable absl::Mutex mu_;
  bool running_ ABSL_GUARDED_BY(mu_) = false;
  // In an order that replays: what is tried again is queued in it.
  absl::btree_map<std::string, Entry> entries_ ABSL_GUARDED_BY(mu_);
  std::deque<std::string> queue_ ABSL_GUARDED_BY(mu_);
  Instant next_retry_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_TIER_ERASER_H_
