#ifndef KVASIR_STORAGE_ROCKS_TIER_WRITER_H_
#define KVASIR_STORAGE_ROCKS_TIER_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "storage/rocks_tier_segment.h"
#include "storage/rocks_tier_state.h"

namespace kvasir {

// Writes segments, and drops, rewrites and merges old ones. A segment is dropped oldest
// first when the budget asks; of its blocks those that were used since they came to it are
// carried over into what is being written, at most half of what is dropped.
//
// A new segment is on disk before what it replaces is dropped, so a stop at any point
// loses nothing; the directory may for that time be larger than the budget by what is
// being written.
//
// Threads: one at a time (RocksTier queues them).
// Bounds:  holds the carried blocks in memory: at most a segment's worth, or as much as
//          is being stored.
class RocksTierWriter {
 public:
  // `state` must outlive it.
  explicit RocksTierWriter(RocksTierState* state);

  // Stores the records that the catalogue wants, all or none. See Tier::Store.
  absl::Status Write(std::vector<SegmentRecord> records);
  // Makes the loss of the block count, if it is here and does not yet.
  absl::Status Promise(std::string_view key, uint64_t generation);
  // Drops dead segments, and rewrites at most one segment's worth of sparse or small ones.
  void Maintain();
  // Drops segments until the budget holds.
  absl::Status Fit();

 private:
  // A segment that goes, and what becomes of its blocks.
  struct Victim {
    struct Block {
      std::string key;
      uint64_t generation = 0;
    };
    uint64_t number = 0;
    bool rewritten = false;      // all of its live blocks are carried
    bool listed = true;          // its listing could be read
    std::vector<Block> dropped;  // live ones that are not carried
  };
  // What is carried, and the bytes behind it.
  struct Cargo {
    std::vector<SegmentRecord> records;
    // A deque, because the records point into its elements.
    std::deque<rocksdb::PinnableSlice> values;
    uint64_t bytes = 0;
  };

  void KeepWanted(std::vector<SegmentRecord>* records) const;
  // Chooses victims until `records` and what is carried fit the budget.
  absl::Status MakeRoom(std::span<const SegmentRecord> records,
                        std::vector<Victim>* victims, Cargo* cargo);
  absl::Status PlanVictim(Victim* victim, Cargo* cargo);
  // Adds a live block to the cargo; false if its bytes are damaged.
  absl::StatusOr<bool> Carry(uint64_t segment, const ListingEntry& entry, Cargo* cargo);
  // Writes records and cargo, then lets the victims go.
  absl::Status Commit(std::vector<SegmentRecord> records, Cargo cargo,
                      std::vector<Victim> victims);
  // Tasks that help to write segments.
  size_t WriteHelpers() const;
  // What each of the segments that are written side by side should have.
  uint64_t PartBytes(std::span<const SegmentRecord> records) const;
  absl::Status Ingest(std::vector<SegmentRecord>* records);
  void Place(std::span<const SegmentRecord> records);
  void WriteMarks(std::span<const WrittenSegment> written);
  void Retire(std::span<const Victim> victims);
  void DropBlocks(const Victim& victim);
  void CountGone(const Victim& victim, const TierCatalog::Gone& gone);
  // Forgets tombstones of which every older segment has been gone for a while.
  void PurgeTombstones();

  RocksTierState* const state_;
  // What may be carried still: grows with what is dropped.
  uint64_t carry_credit_bytes_;
  // At once: a segment, or as much as is being stored.
  uint64_t carry_bytes_max_;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_ROCKS_TIER_WRITER_H_
