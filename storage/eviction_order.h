#ifndef KVASIR_STORAGE_EVICTION_ORDER_H_
#define KVASIR_STORAGE_EVICTION_ORDER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "storage/block_internal.h"
#include "storage/eviction_policy.h"

namespace kvasir {

// Which committed block should leave memory next. Knows nothing of references, shards or
// extents: BlockStore asks, decides and acts. Links blocks through themselves, so nothing
// here allocates for a block. Internal to storage/.
//
// Threads: one at a time (BlockStore's order lock), but Block::CountUse from any.
class EvictionOrder {
 public:
  virtual ~EvictionOrder() = default;

  // True if a hit is only Block::CountUse and Touch need not be called.
  virtual bool touch_is_lazy() const = 0;
  // A hit on a linked block.
  virtual void Touch(Block* block) { (void)block; }

  // A newly committed block.
  virtual void Insert(Block* block) = 0;
  // A block that Unlink or PopVictim took out comes back: it was in use until now.
  virtual void Return(Block* block) = 0;
  // REQUIRES: `block` is linked.
  virtual void Unlink(Block* block) = 0;

  // Unlinks the coldest block; null if none is linked. O(1) amortised over hits.
  virtual Block* PopVictim() = 0;
  // Visits about the `blocks_max` coldest, coldest first, and changes nothing.
  virtual void VisitColdest(size_t blocks_max,
                            absl::FunctionRef<void(Block* block)> visit) const = 0;
  // The block, already unlinked, was evicted (not removed): its return means something.
  virtual void NoteEvicted(const Block& block) { (void)block; }

  // Memory beyond the blocks' own links.
  virtual uint64_t memory_bytes() const { return 0; }

  // `capacity_bytes` of the arena bounds what the order remembers.
  static std::unique_ptr<EvictionOrder> Make(EvictionPolicyKind kind,
                                             uint64_t capacity_bytes);
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_EVICTION_ORDER_H_
