#ifndef KVASIR_STORAGE_TIER_MASK_H_
#define KVASIR_STORAGE_TIER_MASK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "storage/blocks_below.h"
#include "storage/tier.h"

namespace kvasir {

// A tier as it will be once the deletions that are on their way have reached it: what is
// hidden here is not there, for whoever asks. So a block that was replaced or removed
// cannot be seen from the moment on that it was, though the disk learns of it later.
//
// Threads: every method from any thread.
// Bounds:  an entry for each deletion under way (storage/tier_eraser.h).
class TierMask final : public BlocksBelow {
 public:
  // Once; not owned, and must outlive the mask. Until then there is no tier.
  void Attach(Tier* tier) ABSL_LOCKS_EXCLUDED(mu_);
  // Null: there is none.
  Tier* tier() const { return tier_.load(std::memory_order_acquire); }
  // The same, and in order with Attach: where this is null, whoever finds a tier later
  // sees all that the caller did before.
  Tier* TierInOrder() const ABSL_LOCKS_EXCLUDED(mu_);
  // The tier's budget. REQUIRES: there is one.
  uint64_t capacity_bytes() const { return capacity_bytes_; }

  bool exists() const override { return tier() != nullptr; }
  std::optional<uint64_t> FindGeneration(std::string_view key) const override;
  std::optional<TierBlock> Find(std::string_view key) const ABSL_LOCKS_EXCLUDED(mu_);
  // As Tier::List, of what is not hidden.
  std::vector<Tier::Listed> List(std::string_view prefix, std::string_view after,
                                 size_t limit) const;

  // Hides the key's blocks of `generation` and before.
  void Hide(std::string_view key, uint64_t generation) ABSL_LOCKS_EXCLUDED(mu_);
  // They are gone for good. No effect if a later generation was hidden since.
  void Forget(std::string_view key, uint64_t generation) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  bool IsHidden(std::string_view key, uint64_t generation) const ABSL_LOCKS_EXCLUDED(mu_);

  // Stored once, by Attach, under the lock; loads see the tier complete.
  std::atomic<Tier*> tier_{nullptr};
  uint64_t capacity_bytes_ = 0;  // set before tier_
  // Entries of `hidden_`. Stored under the lock; a load that sees 0 is of a call that is
  // not ordered after any Hide.
  std::atomic<size_t> hidden_count_{0};
  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, uint64_t> hidden_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_TIER_MASK_H_
