#ifndef KVASIR_TESTS_SUPPORT_FLAKY_TIER_H_
#define KVASIR_TESTS_SUPPORT_FLAKY_TIER_H_

#include <atomic>
#include <cstdint>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "storage/tier.h"
#include "tests/support/manual_clock.h"
#include "tests/support/tier_decorator.h"

namespace kvasir {

// A Tier over a disk that fails as it is told to: EIO (Unavailable), ENOSPC
// (ResourceExhausted), slow. A call that fails has not reached the tier below. Also
// counts what came through. Thread-safe.
class FlakyTier final : public TierDecorator {
 public:
  // Neither owned; both must outlive this. Without a clock nothing is slow.
  explicit FlakyTier(Tier* below, ManualClock* clock = nullptr)
      : TierDecorator(below), clock_(clock) {}

  // From now on such calls end with `status`; OK ends the fault.
  void FailStores(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);
  void FailLoads(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);
  void FailDeletes(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);
  // From now on each Store, Load and Delete moves the clock by this much.
  void Slow(BootClock::duration latency) { latency_ns_ = latency.count(); }

  // Of all batches together, failed ones too.
  uint64_t stored_blocks() const { return stored_blocks_; }
  uint64_t loaded_blocks() const { return loaded_blocks_; }
  uint64_t deleted_blocks() const { return deleted_blocks_; }

  absl::Status Store(std::span<const Record> batch, Durability durability) override;
  void Load(std::span<Read> batch) override;
  absl::Status Delete(std::span<const Tombstone> batch) override;

 private:
  // Takes the time that a call takes, then tells how it ends.
  absl::Status Meet(absl::Status FlakyTier::*fault) ABSL_LOCKS_EXCLUDED(mu_);

  ManualClock* const clock_;
  std::atomic<int64_t> latency_ns_{0};
  std::atomic<uint64_t> stored_blocks_{0}, loaded_blocks_{0}, deleted_blocks_{0};
  mutable absl::Mutex mu_;
  absl::Status store_fault_ ABSL_GUARDED_BY(mu_);
  absl::Status load_fault_ ABSL_GUARDED_BY(mu_);
  absl::Status delete_fault_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_SUPPORT_FLAKY_TIER_H_
