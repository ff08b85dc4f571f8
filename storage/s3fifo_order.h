#ifndef KVASIR_STORAGE_S3FIFO_ORDER_H_
#define KVASIR_STORAGE_S3FIFO_ORDER_H_

#include <cstddef>
#include <cstdint>

#include "storage/block_list.h"
#include "storage/eviction_order.h"
#include "storage/ghost_table.h"

namespace kvasir {

// S3-FIFO: new blocks enter a small queue and those that are not used leave from there,
// which keeps scans out of the main queue. Used ones move on to main, where each use buys
// another round. Keys evicted from the small queue are remembered as ghosts; one that
// comes back goes straight to main. A hit sets a counter.
// Source: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.
class S3FifoOrder final : public EvictionOrder {
 public:
  // `ghosts_max`: about as many as there may be blocks.
  explicit S3FifoOrder(uint64_t ghosts_max) : ghosts_(ghosts_max) {}

  bool touch_is_lazy() const override { return true; }
  void Insert(Block* block) override;
  void Return(Block* block) override;
  void Unlink(Block* block) override;
  Block* PopVictim() override;
  void VisitColdest(size_t blocks_max,
                    absl::FunctionRef<void(Block* block)> visit) const override;
  void NoteEvicted(const Block& block) override;
  uint64_t memory_bytes() const override { return ghosts_.memory_bytes(); }

 private:
  bool small_is_full() const;
  Block* PopSmall();
  Block* PopMain();
  void PushMain(Block* block);

  BlockList small_;
  BlockList main_;
  GhostTable ghosts_;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_S3FIFO_ORDER_H_
