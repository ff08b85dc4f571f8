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

bool Demoter::IsStored(const BlockRef& block) const {
  return mask_->FindGeneration(block.key()) == block.generation();
}

bool Demoter::IsUnsaved(const BlockRef& block) const {
  return block.size_bytes() <= mask_->capacity_bytes() && !IsStored(block);
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
  for (BlockRef& block : memory_->Coldest(kDemotionScanBlocks)) {
    if (IsStored(block)) {
      if (freed < target) freed += memory_->EvictIfIdle(std::move(block));
    } else if (saving && IsUnsaved(block)) {
      saving = writer_->MayDemote(block.size_bytes());
      if (saving) writer_->Demote(std::move(block));
    }
  }
}

bool Demoter::SaveStep() {
  while (true) {
    const std::vector<KeyInfo> page = memory_->List("", saved_up_to_, kMaxListPageSize);
    for (const KeyInfo& info : page) {
      absl::StatusOr<BlockRef> block = memory_->Peek(info.key);
      const bool unsaved = block.ok() && IsUnsaved(*block);
      if (unsaved && !writer_->MayDemote(block->size_bytes())) return false;
      if (unsaved) writer_->Demote(*std::move(block));
      saved_up_to_ = info.key;
    }
    if (page.size() < kMaxListPageSize) return true;
  }
}

}  // namespace kvasir
