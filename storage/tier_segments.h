#ifndef KVASIR_STORAGE_TIER_SEGMENTS_H_
#define KVASIR_STORAGE_TIER_SEGMENTS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvasir {

// The books on a tier's segments: how large each is, how much of it is live, and which
// to drop, rewrite or merge next. Decides; does nothing.
//
// Threads: every method from any thread. Segments come and go from one thread at a time.
class TierSegments {
 public:
  // `segment_bytes`: what a segment should have; bounds from limits.h follow from it.
  explicit TierSegments(uint64_t segment_bytes) : segment_bytes_(segment_bytes) {}

  struct Segment {
    uint64_t file_bytes = 0;
    uint64_t record_bytes = 0;  // of all its records, dead or alive
    int64_t live_bytes = 0;     // of those that the catalogue points at
    int64_t live_blocks = 0;
    bool fixed = false;  // not to be rewritten: what is in it cannot be told
  };
  struct NewSegment {
    uint64_t number = 0;
    uint64_t file_bytes = 0;
    uint64_t record_bytes = 0;
  };
  void Add(const NewSegment& segment) ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(uint64_t number) ABSL_LOCKS_EXCLUDED(mu_);
  void Fix(uint64_t number) ABSL_LOCKS_EXCLUDED(mu_);
  // For a segment that was added before its records were known.
  void SetRecordBytes(uint64_t number, uint64_t record_bytes) ABSL_LOCKS_EXCLUDED(mu_);
  // A block came to, or went from, the segment. No effect if it is not here.
  void AddLive(uint64_t number, uint64_t record_bytes) ABSL_LOCKS_EXCLUDED(mu_);
  void SubtractLive(uint64_t number, uint64_t record_bytes) ABSL_LOCKS_EXCLUDED(mu_);

  uint64_t used_bytes() const ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t count() const ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<Segment> Find(uint64_t number) const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<uint64_t> Numbers() const ABSL_LOCKS_EXCLUDED(mu_);
  // The oldest after `after`; none if there is none.
  std::optional<uint64_t> OldestAfter(uint64_t after) const ABSL_LOCKS_EXCLUDED(mu_);

  // Segments without a live block: they may go at once.
  std::vector<uint64_t> Dead() const ABSL_LOCKS_EXCLUDED(mu_);
  // What to rewrite into one segment next: those that are mostly dead, or else small ones
  // of like size once there are enough of them. At most a segment's worth of live bytes;
  // empty if all is well.
  std::vector<uint64_t> ToRewrite() const ABSL_LOCKS_EXCLUDED(mu_);
  // True if either of them would tell of any.
  bool WantsMaintenance() const { return !Dead().empty() || !ToRewrite().empty(); }

 private:
  std::vector<uint64_t> SparseLocked() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  std::vector<uint64_t> SmallLocked() const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  const uint64_t segment_bytes_;
  mutable absl::Mutex mu_;
  std::map<uint64_t, Segment> segments_ ABSL_GUARDED_BY(mu_);
  uint64_t used_bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_TIER_SEGMENTS_H_
