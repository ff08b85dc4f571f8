#ifndef KVASIR_STORAGE_ROCKS_TIER_STATE_H_
#define KVASIR_STORAGE_ROCKS_TIER_STATE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/limits.h"
#include "base/parallel.h"
#include "storage/rocks_tier_db.h"
#include "storage/tier_catalog.h"
#include "storage/tier_segments.h"

namespace kvasir {

// The removals of late, for Stores of the past that may still come. Older ones are
// forgotten; what lies on disk stays hidden by the tombstones there.
//
// Thread-safe. Bounds: kMaxTierTombstones keys.
class RecentRemovals {
 public:
  void Add(std::string_view key, uint64_t generation) ABSL_LOCKS_EXCLUDED(mu_);
  // Forgets what is beyond the bound.
  void Trim(TierCatalog* catalog) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Removal {
    std::string key;
    uint64_t generation;
  };
  absl::Mutex mu_;
  std::deque<Removal> removals_ ABSL_GUARDED_BY(mu_);
};

// What the parts of the disk tier share: the database, the books on it, the counters.
//
// Threads: any; every member is safe by itself. What they say together is held by order:
// the catalogue points at a segment only after it is in the database, and a segment
// leaves the database only after the catalogue points elsewhere.
struct RocksTierState {
  struct Sizes {
    uint64_t capacity_bytes = 0;
    uint64_t segment_bytes = 0;
  };
  RocksTierState(std::unique_ptr<RocksTierDb> database, const Sizes& sizes,
                 const ParallelOptions& read_helpers,
                 const ParallelOptions& write_helpers)
      : db(std::move(database)),
        capacity_bytes(sizes.capacity_bytes),
        segment_bytes(sizes.segment_bytes),
        reading(read_helpers),
        writing(write_helpers),
        segments(sizes.segment_bytes) {}

  // The least that a segment has unless there is no more to write.
  uint64_t part_bytes_min() const { return segment_bytes / kMaxTierWriters; }
  // Puts the state record, as it is now, into the batch.
  void PutState(MetaBatch* batch) const;
  void RaiseGenerationMax(uint64_t generation);
  // Takes a block out whose bytes are damaged, and sees to it that no older block of its
  // key comes back in its place, ever. The same block may be stored again.
  void Spoil(std::string_view key, uint64_t generation, uint64_t segment);
  // Hides older blocks of a key on disk: in the batch.
  void PutTombstone(MetaBatch* batch, std::string_view key, uint64_t generation);

  const std::unique_ptr<RocksTierDb> db;
  const uint64_t capacity_bytes;
  const uint64_t segment_bytes;
  const ParallelOptions reading;  // the blocks of a Load, and recovery
  const ParallelOptions writing;  // the segments of a Store

  TierCatalog catalog;
  TierSegments segments;
  RecentRemovals removals;

  // Relaxed, but for next_segment, which pairs with TierCatalog::Hide: see Delete.
  std::atomic<uint64_t> next_segment{1};
  std::atomic<uint64_t> generation_max{0};
  // At most the least mark of a tombstone on disk.
  std::atomic<uint64_t> tombstone_mark_min{UINT64_MAX};

  // Relaxed: counters for stats.
  std::atomic<uint64_t> dropped_blocks{0};
  std::atomic<uint64_t> dropped_bytes{0};
  std::atomic<uint64_t> corrupt_blocks{0};
  std::atomic<uint64_t> written_bytes{0};
  std::atomic<uint64_t> recovered_blocks{0};
  std::atomic<uint64_t> lost_blocks{0};
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_ROCKS_TIER_STATE_H_
