#ifndef KVASIR_STORAGE_VICTIM_QUEUE_H_
#define KVASIR_STORAGE_VICTIM_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "storage/block_internal.h"
#include "storage/cold_block.h"
#include "storage/eviction_order.h"

namespace kvasir {

// The eviction order behind its lock, with referenced blocks out of the way: a block that
// comes up for eviction while somebody holds it is parked, in no list, until the last
// holder lets go. So each hold costs eviction at most one step, and an empty order means
// that nothing can be evicted. Internal to storage/.
//
// Threads: every method from any thread; the caller holds a reference to the block.
class VictimQueue {
 public:
  VictimQueue(EvictionPolicyKind kind, uint64_t capacity_bytes);

  // A block that was just committed. No effect if it is retired already.
  void Add(Block* block) ABSL_LOCKS_EXCLUDED(mu_);
  // A hit. Takes no lock if the order is lazy.
  void Touch(Block* block) ABSL_LOCKS_EXCLUDED(mu_);
  // Puts a parked block back. No effect if it is not parked.
  void Unpark(Block* block) ABSL_LOCKS_EXCLUDED(mu_);
  enum class Why : uint8_t { kRemoved, kEvicted };
  // The block has left the index for good.
  void Retire(Block* block, Why why) ABSL_LOCKS_EXCLUDED(mu_);

  // Takes the coldest block that only the index holds out of the order, with a reference
  // for the caller, who retires it or puts it back. Null if there is none.
  Block* PopIdle() ABSL_LOCKS_EXCLUDED(mu_);
  void PutBack(Block* block) ABSL_LOCKS_EXCLUDED(mu_);
  // About the `blocks_max` coldest blocks that only the index holds, still in the order,
  // with a reference each for the caller.
  std::vector<Block*> HoldColdest(size_t blocks_max) ABSL_LOCKS_EXCLUDED(mu_);

  // The same without holding them: who looks at many would be in the way of Reserve.
  std::vector<ColdBlock> ListColdest(size_t blocks_max) const ABSL_LOCKS_EXCLUDED(mu_);

  uint64_t memory_bytes() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  mutable absl::Mutex mu_;
  const std::unique_ptr<EvictionOrder> order_ ABSL_PT_GUARDED_BY(mu_);
  const bool touch_is_lazy_;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_VICTIM_QUEUE_H_
