#include "storage/demoter.h"

#include <utility>
#include <vector>

#include "base/check.h"
#include "base/limits.h"

namespace kvasir {

Demoter::Demoter(const Options& options, BlockStore* memory, TierMask* mask,
                 TierHealth* health, TierWriter* writer)
    : options_(options),
      memory_(memory),
      mask_(mask),
      health_(health),
      writer_(writer) {
  KV_CHECK(0 <= options.save_watermark && options.save_watermark <= 1);
  KV_CHECK(0 <= options.low_watermark &&
           options.low_watermark <= options.high_watermark &&
           options.high_watermark <= 1);
}

bool Demoter::IsStored(std::string_view key, uint64_t generation) const {
  return mask_->FindGeneration(key) == generation;
}

bool Demoter::IsUnsaved(const ColdBlock& block) const {
  return block.size_bytes <= mask_->capacity_bytes() &&
         !IsStored(block.key, block.generation);
}

void Demoter::Step() {
  const Arena::Usage usage = memory_->arena()->usage();
  const auto capacity = static_cast<double>(usage.capacity_bytes);
  const auto allocated = static_cast<double>(usage.allocated_bytes);
  const bool full = allocated > options_.high_watermark * capacity;
  bool saving = mask_->tier() != nullptr && health_->may_store();
  if (!full && !(saving && allocated > options_.save_watermark * capacity)) return;
  const uint64_t target =
      full ? static_cast<uint64_t>(allocated - options_.low_watermark * capacity) : 0;
  if (!saving) {
    memory_->Evict(target);
    return;
  }
  uint64_t freed = 0;
  for (const ColdBlock& cold : memory_->Coldest(kDemotionScanBlocks)) {
    const bool stored = IsStored(cold.key, cold.generation);
    if (stored ? freed >= target : !saving || !IsUnsaved(cold)) continue;
    absl::StatusOr<BlockRef> block = memory_->Peek(cold.key);
    if (!block.ok() || block->generation() != cold.generation) continue;
    if (stored) {
      freed += memory_->EvictIfIdle(*std::move(block));
    } else {
      saving = writer_->MayDemote(cold.size_bytes);
      if (saving) writer_->Demote(*std::move(block));
    }
  }
}

bool Demoter::SaveStep() {
  while (true) {
    const std::vector<KeyInfo> page = memory_->List("", saved_up_to_, kMaxListPageSize);
    for (const KeyInfo& info : page) {
      absl::StatusOr<BlockRef> block = memory_->Peek(info.key);
      const bool unsaved =
          block.ok() && IsUnsaved({info.key, block->generation(), block->size_bytes()});
      if (unsaved && !writer_->MayDemote(block->size_bytes())) return false;
      if (unsaved) writer_->Demote(*std::move(block));
      saved_up_to_ = info.key;
    }
    if (page.size() < kMaxListPageSize) return true;
  }
}

}  // namespace kvasir
