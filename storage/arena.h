#ifndef KVASIR_STORAGE_ARENA_H_
#define KVASIR_STORAGE_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/limits.h"
#include "base/region.h"

namespace kvasir {

// Carves a region into extents. Knows nothing of keys, leases or networks.
//
// Best fit over the free runs, which merge with their neighbours at once. Every
// allocation is a Slot that its owner embeds; slots and free runs form one list in
// address order, so that Free finds its neighbours, and FindWindow what stands between
// free runs, without a search.
//
// Threads: every method from any thread.
// Bounds:  32 B a slot, in its owner; about 56 B a free run, of which there are at most
//          one more than slots. Allocate and Free take O(log runs).
// Space:   at least 95 % of the region holds blocks under any mix of sizes from 64 KiB to
//          64 MiB with churn, if victims are chosen by FindWindow
//          (tests/bench/arena_bench).
class Arena {
 public:
  // Offsets and sizes of allocations are multiples of this: a page, so that an extent
  // can be mapped and sent without its neighbours' bytes.
  static constexpr uint64_t kUnitBytes = 4 * kKiB;

  struct Usage {
    uint64_t capacity_bytes = 0;
    uint64_t allocated_bytes = 0;  // rounded up to the allocation unit
    uint64_t largest_free_bytes = 0;
    uint64_t free_runs = 0;
  };

  // One allocation, embedded in what owns the memory. Must not move while allocated.
  class Slot {
   public:
    Slot() = default;
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

    // Constant while allocated.
    uint64_t offset_bytes() const { return first_unit_ * kUnitBytes; }
    uint64_t allocated_bytes() const { return units_ * kUnitBytes; }

   private:
    friend class Arena;
    uint64_t end_unit() const { return uint64_t{first_unit_} + units_; }

    // Neighbours in address order, guarded by the arena's mu_.
    Slot* below_ = nullptr;
    Slot* above_ = nullptr;
    uint32_t first_unit_ = 0;
    uint32_t units_ : 31 = 0;
    uint32_t is_run_ : 1 = 0;  // a free run of the arena's own
  };

  explicit Arena(Region* region);  // Not owned; must outlive the arena.
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Allocates `size_bytes`, rounded up to the unit. ResourceExhausted if no free run
  // fits; InvalidArgument if the size is 0 or above kMaxBlockBytes.
  // REQUIRES: `slot` is not allocated.
  absl::Status Allocate(uint64_t size_bytes, Slot* slot) ABSL_LOCKS_EXCLUDED(mu_);
  // REQUIRES: `slot` is allocated here.
  void Free(Slot* slot) ABSL_LOCKS_EXCLUDED(mu_);

  // What it would cost to free a slot, for FindWindow.
  static constexpr uint64_t kImmovable = std::numeric_limits<uint64_t>::max();

  struct WindowRequest {
    uint64_t size_bytes = 0;
    // Look at windows around these, and around the largest free runs.
    std::span<Slot* const> seeds;
    // If that finds nothing, look at the whole arena (up to kScanSlotsMax slots).
    bool everywhere = false;
    // Cost of freeing the slot: its bytes, more for what is worth keeping; kImmovable if
    // it cannot be freed now. Both run under the arena's lock: they take no lock.
    absl::FunctionRef<uint64_t(const Slot& slot)> cost;
    // The slot is in the chosen window. In address order.
    absl::FunctionRef<void(Slot* slot)> take;
  };
  // Finds the cheapest set of neighbouring slots whose freeing, together with the free
  // runs between them, makes room for one allocation of `size_bytes`. False if there is
  // none; nothing was taken then. Looks at a bounded number of slots.
  bool FindWindow(const WindowRequest& request) ABSL_LOCKS_EXCLUDED(mu_);

  // What Allocate takes for `size_bytes`: rounded up to the allocation unit.
  static uint64_t AllocatedBytes(uint64_t size_bytes) {
    return (size_bytes + kUnitBytes - 1) / kUnitBytes * kUnitBytes;
  }
  Usage usage() const ABSL_LOCKS_EXCLUDED(mu_);
  Region* region() const { return region_; }

 private:
  class Window;
  // Free runs by size, then address: the first one not below (units, 0) is the best fit.
  using RunKey = uint64_t;
  static RunKey KeyOf(const Slot& run) {
    return uint64_t{run.units_} << 32 | run.first_unit_;
  }

  void LinkRunLocked(Slot* run, Slot* below, Slot* above)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LinkLocked(Slot* slot, Slot* below, Slot* above)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint64_t LargestRunUnitsLocked() const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  Region* const region_;
  const uint32_t capacity_units_;

  mutable absl::Mutex mu_;
  Slot* lowest_ ABSL_GUARDED_BY(mu_) = nullptr;
  absl::btree_map<RunKey, Slot*> runs_ ABSL_GUARDED_BY(mu_);
  uint64_t allocated_units_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_ARENA_H_
