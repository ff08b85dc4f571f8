#ifndef KVASIR_STORAGE_ROCKS_TIER_SEGMENT_H_
#define KVASIR_STORAGE_ROCKS_TIER_SEGMENT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/parallel.h"
#include "storage/disk_format.h"
#include "storage/rocks_tier_db.h"

namespace kvasir {

// A block on its way into a segment. Points at bytes of others.
struct SegmentRecord {
  DiskRecord record;
  std::span<const std::byte> payload;
  bool durable = false;
  uint64_t moved_from = 0;  // the segment that has it now; 0: none, it is new
  uint64_t segment = 0;     // set by WriteSegments
};

struct WrittenSegment {
  uint64_t number = 0;
  std::string path;  // in staging
  uint64_t file_bytes = 0;
  uint64_t record_bytes = 0;
  SegmentMark mark;
};

struct SegmentPlan {
  uint64_t segment_bytes = 0;  // a segment ends when it has that much
  uint64_t first_number = 0;   // its numbers begin here
  uint64_t generation_max = 0;
  ParallelOptions parallel;  // writes segments side by side
};

// An upper bound of what the records take on disk, in how many segments.
struct SegmentEstimate {
  uint64_t bytes = 0;
  uint64_t count = 0;
};
SegmentEstimate EstimateSegments(std::span<const SegmentRecord> records,
                                 uint64_t segment_bytes);

// Writes the records, which it sorts by key, into as many segments as they need, as files
// in staging, synced. On error there are none.
// REQUIRES: at most one record a key; at least one record.
absl::StatusOr<std::vector<WrittenSegment>> WriteSegments(
    const RocksTierDb& db, const SegmentPlan& plan, std::span<SegmentRecord> records);

// Removes the files of segments that were written and not taken in.
void RemoveSegmentFiles(std::span<const WrittenSegment> segments);

// Visits the records of a segment without reading payload, a chunk of the listing at a
// time. DataLoss if neither copy of a chunk verifies (its records were not visited, those
// of chunks before it were).
absl::StatusOr<ListingHead> VisitListing(
    const RocksTierDb& db, uint64_t segment,
    absl::FunctionRef<void(const ListingEntry&)> visit);

}  // namespace kvasir

#endif  // KVASIR_STORAGE_ROCKS_TIER_SEGMENT_H_
