#include "storage/rocks_tier_state.h"

#include <fmt/core.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/log.h"
#include "storage/disk_format.h"

namespace kvasir {
namespace {

void RaiseTo(std::atomic<uint64_t>* value, uint64_t least) {
  uint64_t now = value->load(std::memory_order_relaxed);
  while (now < least &&
         !value->compare_exchange_weak(now, least, std::memory_order_relaxed)) {
  }
}

void LowerTo(std::atomic<uint64_t>* value, uint64_t most) {
  uint64_t now = value->load(std::memory_order_relaxed);
  while (now > most &&
         !value->compare_exchange_weak(now, most, std::memory_order_relaxed)) {
  }
}

}  // namespace

void RecentRemovals::Add(std::string_view key, uint64_t generation) {
  absl::MutexLock lock(&mu_);
  removals_.push_back({.key = std::string(key), .generation = generation});
}

void RecentRemovals::Trim(TierCatalog* catalog) {
  for (;;) {
    Removal oldest;
    {
      absl::MutexLock lock(&mu_);
      if (removals_.size() <= kMaxTierTombstones) return;
      oldest = std::move(removals_.front());
      removals_.pop_front();
    }
    catalog->Forget(oldest.key, oldest.generation);
  }
}

void RocksTierState::PutState(MetaBatch* batch) const {
  const DiskState state{.generation_max = generation_max.load(std::memory_order_relaxed),
                        .next_segment = next_segment.load()};
  batch->Put(StateKey(), EncodeState(state));
}

void RocksTierState::RaiseGenerationMax(uint64_t generation) {
  RaiseTo(&generation_max, generation);
}

void RocksTierState::PutTombstone(MetaBatch* batch, std::string_view key,
                                  uint64_t generation) {
  const uint64_t mark = next_segment.load();
  LowerTo(&tombstone_mark_min, mark);
  batch->Put(TombstoneKey({.mark = mark, .key = key}), EncodeNumber(generation));
}

void RocksTierState::Spoil(std::string_view key, uint64_t generation, uint64_t segment) {
  const TierCatalog::Gone gone = catalog.Drop(key, generation, segment);
  if (gone.segment == TierCatalog::kNoSegment) return;
  segments.SubtractLive(gone.segment, gone.record_bytes);
  corrupt_blocks.fetch_add(1, std::memory_order_relaxed);
  Log(LogLevel::kError,
      fmt::format("disk tier: dropped a block of {} bytes: it does not match its checksum",
                  gone.size_bytes));
  if (generation == 0) return;  // nothing is older
  MetaBatch batch;
  PutTombstone(&batch, key, generation - 1);
  PutState(&batch);
  if (absl::Status written = db->WriteMeta(batch); !written.ok()) {
    // Until a restart nothing older is in the catalogue; after it, the damaged block
    // hides older ones for as long as its segment lives.
    Log(LogLevel::kWarning,
        fmt::format("disk tier: {}", ToStd(written.message())));
  }
}

}  // namespace kvasir
