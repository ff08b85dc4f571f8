#ifndef KVASIR_TESTS_SUPPORT_FLAKY_TIER_H_
#define KVASIR_TESTS_SUPPORT_FLAKY_TIER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "storage/tier.h"
#include "tests/support/manual_clock.h"

namespace kvasir {

// A Tier over a disk that fails as it is told to: EIO (Unavailable), ENOSPC
// (ResourceExhausted), slow. A call that fails has not reached the tier below. Also
// counts what came through. Thread-safe.
class FlakyTier final : public Tier {
 public:
  // Neither owned; both must outlive this. Without a clock nothing is slow.
  explicit FlakyTier(Tier* below, ManualClock* clock = nullptr)
      : below_(below), clock_(clock) {}

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
  std::optional<TierBlock> Find(std::string_view key) const override {
    return below_->Find(key);
  }
  std::vector<Listed> List(std::string_view prefix, std::string_view after,
                           size_t limit) const override {
    return below_->List(prefix, after, limit);
  }
  uint64_t generation_max() const override { return below_->generation_max(); }
  Stats stats() const override { return below_->stats(); }

 private:
  // Takes the time that a call takes, then tells how it ends.
  absl::Status Meet(absl::Status FlakyTier::*fault) ABSL_LOCKS_EXCLUDED(mu_);

  Tier* const below_;
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
