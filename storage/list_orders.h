#ifndef KVASIR_STORAGE_LIST_ORDERS_H_
#define KVASIR_STORAGE_LIST_ORDERS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "storage/block_list.h"
#include "storage/eviction_order.h"

namespace kvasir {

// Oldest commit first.
class FifoOrder : public EvictionOrder {
 public:
  bool touch_is_lazy() const override { return true; }
  void Insert(Block* block) override;
  void Return(Block* block) override;
  void Unlink(Block* block) override;
  Block* PopVictim() override;
  void VisitColdest(size_t blocks_max,
                    absl::FunctionRef<void(Block* block)> visit) const override;

 protected:
  BlockList list_;
};

// Longest unused first. A hit moves the block, under the order's lock.
class LruOrder final : public FifoOrder {
 public:
  bool touch_is_lazy() const override { return false; }
  void Touch(Block* block) override;
  void Return(Block* block) override { Insert(block); }
};

// Least used first, the longest unused of equals. Counts stop at kFrequencies - 1 and do
// not age. A hit moves the block, under the order's lock.
class LfuOrder final : public EvictionOrder {
 public:
  bool touch_is_lazy() const override { return false; }
  void Touch(Block* block) override;
  void Insert(Block* block) override;
  void Return(Block* block) override { Link(block); }
  void Unlink(Block* block) override;
  Block* PopVictim() override;
  void VisitColdest(size_t blocks_max,
                    absl::FunctionRef<void(Block* block)> visit) const override;

 private:
  static constexpr size_t kFrequencies = 64;
  void Link(Block* block);

  std::array<BlockList, kFrequencies> lists_;  // by Block::rank
  uint64_t filled_ = 0;                        // bit i: lists_[i] is not empty
};

// SIEVE: one queue in order of insertion; a hand moves from old to new, spares what was
// used since it last came by, and evicts the first that was not. A hit sets a counter.
// Source: Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024.
class SieveOrder final : public EvictionOrder {
 public:
  bool touch_is_lazy() const override { return true; }
  void Insert(Block* block) override;
  void Return(Block* block) override;
  void Unlink(Block* block) override;
  Block* PopVictim() override;
  void VisitColdest(size_t blocks_max,
                    absl::FunctionRef<void(Block* block)> visit) const override;

 private:
  BlockList list_;
  Block* hand_ = nullptr;  // null: at the oldest
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_LIST_ORDERS_H_
