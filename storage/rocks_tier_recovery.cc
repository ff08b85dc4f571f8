#include "storage/rocks_tier_recovery.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/parallel.h"
#include "storage/disk_format.h"
#include "storage/rocks_tier_segment.h"

namespace kvasir {
namespace {

// Reads the metadata first, then the segments, many at a time.
class Recovery {
 public:
  Recovery(RocksTierState* state, const TierProgress& progress)
      : state_(state), progress_(progress), segments_(state->db->Segments()) {}

  absl::Status Run();

 private:
  absl::Status ReadMetadata();
  void ReadTombstone(std::string_view key, std::string_view value);
  absl::Status ReadSegments();
  // Enters the segment's blocks into the catalogue.
  void ReadSegment(const RocksTierDb::SegmentFile& file);
  void Enter(const ListingEntry& entry, uint64_t segment);
  void SegmentDone(const absl::StatusOr<ListingHead>& head, uint64_t keys)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool IsThere(uint64_t segment) const {
    return std::ranges::binary_search(segments_, segment, {},
                                      &RocksTierDb::SegmentFile::number);
  }
  void ReadPromise(std::string_view key) ABSL_LOCKS_EXCLUDED(mu_);
  // A segment that was taken in, and is not there though nobody dropped it.
  void SegmentLost(uint64_t segment, const SegmentMark& mark);
  // True if a lost segment had a newer block of the key. Sees to it that the older one
  // stays hidden when the mark is gone.
  bool Replaced(const DiskRecord& record) ABSL_LOCKS_EXCLUDED(mu_);
  // Says what is lost, once.
  void ReportLost() ABSL_LOCKS_EXCLUDED(mu_);

  RocksTierState* const state_;
  const TierProgress& progress_;
  const std::vector<RocksTierDb::SegmentFile> segments_;
  uint64_t keys_total_ = 0;
  uint64_t next_segment_ = 1;
  uint64_t lost_blocks_ = 0;
  // By KeyHashOnDisk: the newest generation that was lost.
  absl::flat_hash_map<uint64_t, uint64_t> lost_;
  // Segments and KeyHashOnDisk of blocks in them.
  absl::flat_hash_set<std::pair<uint64_t, uint64_t>> promised_;

  absl::Mutex mu_;
  // What ReportLost writes.
  MetaBatch repairs_ ABSL_GUARDED_BY(mu_);
  uint64_t keys_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status failed_ ABSL_GUARDED_BY(mu_);
};

absl::Status Recovery::Run() {
  if (absl::Status read = ReadMetadata(); !read.ok()) return read;
  if (absl::Status read = ReadSegments(); !read.ok()) return read;
  state_->removals.Trim(&state_->catalog);
  state_->recovered_blocks.store(state_->catalog.blocks());
  ReportLost();
  return absl::OkStatus();
}

absl::Status Recovery::ReadMetadata() {
  if (!segments_.empty()) next_segment_ = segments_.back().number + 1;
  absl::Status read = state_->db->VisitMeta(
      StateKey(), TombstoneBegin(0), [&](std::string_view, std::string_view value) {
        const std::optional<DiskState> state = DecodeState(value);
        if (!state) return;
        next_segment_ = std::max(next_segment_, state->next_segment);
        state_->RaiseGenerationMax(state->generation_max);
      });
  if (!read.ok()) return read;
  read = state_->db->VisitMeta(
      SegmentMarksBegin(), SegmentMarksEnd(),
      [&](std::string_view key, std::string_view value) {
        const std::optional<uint64_t> segment = DecodeSegmentMarkKey(key);
        if (!segment || IsThere(*segment)) return;
        SegmentLost(*segment, DecodeSegmentMark(value).value_or(SegmentMark{}));
      });
  if (!read.ok()) return read;
  read = state_->db->VisitMeta(
      PromisesBegin(0), PromisesEnd(),
      [&](std::string_view key, std::string_view) { ReadPromise(key); });
  if (!read.ok()) return read;
  read = state_->db->VisitMeta(
      TombstoneBegin(0), TombstonesEnd(),
      [&](std::string_view key, std::string_view value) { ReadTombstone(key, value); });
  state_->next_segment.store(next_segment_);
  return read;
}

void Recovery::SegmentLost(uint64_t segment, const SegmentMark& mark) {
  next_segment_ = std::max(next_segment_, segment + 1);
  lost_blocks_ += mark.durable_records;
  for (const SegmentMark::Block& block : mark.blocks) {
    uint64_t& newest = lost_[block.key_hash];
    newest = std::max(newest, block.generation);
    state_->RaiseGenerationMax(block.generation);
  }
  absl::MutexLock lock(&mu_);
  repairs_.Delete(SegmentMarkKey(segment));
}

void Recovery::ReadPromise(std::string_view key) {
  const std::optional<DiskPromise> promise = DecodePromiseKey(key);
  if (!promise) return;
  if (IsThere(promise->segment)) {
    promised_.emplace(promise->segment, promise->key_hash);
    return;
  }
  // They go with the mark of a segment that was dropped.
  ++lost_blocks_;
  absl::MutexLock lock(&mu_);
  repairs_.Delete(key);
}

bool Recovery::Replaced(const DiskRecord& record) {
  if (lost_.empty()) return false;
  const auto lost = lost_.find(KeyHashOnDisk(record.key));
  if (lost == lost_.end() || lost->second <= record.generation) return false;
  absl::MutexLock lock(&mu_);
  state_->PutTombstone(&repairs_, record.key, lost->second - 1);
  return true;
}

void Recovery::ReadTombstone(std::string_view key, std::string_view value) {
  const std::optional<DiskTombstone> tombstone = DecodeTombstoneKey(key);
  const std::optional<uint64_t> generation = DecodeNumber(value);
  if (!tombstone || !generation) return;
  next_segment_ = std::max(next_segment_, tombstone->mark);
  state_->RaiseGenerationMax(*generation);
  state_->catalog.Hide(tombstone->key, *generation);
  state_->removals.Add(tombstone->key, *generation);
  state_->tombstone_mark_min.store(
      std::min(state_->tombstone_mark_min.load(), tombstone->mark));
}

absl::Status Recovery::ReadSegments() {
  const absl::StatusOr<uint64_t> entries = state_->db->CountEntries();
  if (!entries.ok()) return entries.status();
  // Each segment has at least one chunk of its listing, twice.
  keys_total_ = *entries - std::min<uint64_t>(*entries, 2 * segments_.size());
  ParallelFor(state_->reading, segments_.size(),
              [&](size_t i) { ReadSegment(segments_[i]); });
  absl::MutexLock lock(&mu_);
  return failed_;
}

void Recovery::ReadSegment(const RocksTierDb::SegmentFile& file) {
  {
    absl::MutexLock lock(&mu_);
    if (!failed_.ok()) return;
  }
  uint64_t keys = 0;
  uint64_t record_bytes = 0;
  // Known before its blocks, so that their going is booked from the first on.
  state_->segments.Add({.number = file.number, .file_bytes = file.file_bytes});
  const absl::StatusOr<ListingHead> head =
      VisitListing(*state_->db, file.number, [&](const ListingEntry& entry) {
        const DiskRecord& record = entry.record;
        record_bytes += RecordHeadBytes(record.key.size(), record.attributes.size()) +
                        record.size_bytes;
        ++keys;
        Enter(entry, file.number);
      });
  state_->segments.SetRecordBytes(file.number, record_bytes);
  SegmentDone(head, keys);
}

void Recovery::Enter(const ListingEntry& entry, uint64_t segment) {
  const DiskRecord& record = entry.record;
  state_->RaiseGenerationMax(record.generation);
  if (Replaced(record)) return;
  const bool promised =
      entry.durable || (!promised_.empty() &&
                        promised_.contains({segment, KeyHashOnDisk(record.key)}));
  const TierCatalog::Placed placed =
      state_->catalog.Place({.record = record, .durable = promised}, segment);
  if (!placed.live) return;
  state_->segments.AddLive(
      segment,
      RecordHeadBytes(record.key.size(), record.attributes.size()) + record.size_bytes);
  if (placed.gone.segment == TierCatalog::kNoSegment) return;
  state_->segments.SubtractLive(placed.gone.segment, placed.gone.record_bytes);
}

void Recovery::SegmentDone(const absl::StatusOr<ListingHead>& head, uint64_t keys) {
  if (head.ok()) state_->RaiseGenerationMax(head->generation_max);
  absl::MutexLock lock(&mu_);
  keys_ += keys;
  if (!head.ok()) {
    failed_.Update(head.status());
    return;
  }
  // Under the lock, so that the numbers grow; the callee is quick or slows us down.
  if (progress_) progress_(keys_, std::max(keys_, keys_total_));
}

void Recovery::ReportLost() {
  absl::MutexLock lock(&mu_);
  if (repairs_.empty()) return;
  state_->lost_blocks.store(lost_blocks_);
  if (absl::Status wrote = state_->db->WriteMetaSynced(repairs_); !wrote.ok()) {
    // The marks are still there, so the next recovery comes to the same.
    Log(LogLevel::kWarning, fmt::format("disk tier: {}", ToStd(wrote.message())));
  }
}

}  // namespace

absl::Status RecoverRocksTier(RocksTierState* state, const TierProgress& progress) {
  return Recovery(state, progress).Run();
}

}  // namespace kvasir
