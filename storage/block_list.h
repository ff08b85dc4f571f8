#ifndef KVASIR_STORAGE_BLOCK_LIST_H_
#define KVASIR_STORAGE_BLOCK_LIST_H_

#include <cstdint>

#include "storage/block_internal.h"

namespace kvasir {

// Blocks from the coldest to the hottest, linked through the blocks themselves: no
// allocation, every change O(1). Not thread-safe. Internal to storage/.
class BlockList {
 public:
  bool empty() const { return coldest_ == nullptr; }
  Block* coldest() const { return coldest_; }
  Block* hottest() const { return hottest_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t size() const { return size_; }

  void PushHottest(Block* block) {
    block->colder = hottest_;
    block->hotter = nullptr;
    (hottest_ == nullptr ? coldest_ : hottest_->hotter) = block;
    hottest_ = block;
    Count(block);
  }

  void PushColdest(Block* block) {
    block->hotter = coldest_;
    block->colder = nullptr;
    (coldest_ == nullptr ? hottest_ : coldest_->colder) = block;
    coldest_ = block;
    Count(block);
  }

  // REQUIRES: `block` is in this list.
  void Unlink(Block* block) {
    (block->colder == nullptr ? coldest_ : block->colder->hotter) = block->hotter;
    (block->hotter == nullptr ? hottest_ : block->hotter->colder) = block->colder;
    block->colder = block->hotter = nullptr;
    bytes_ -= block->allocated_bytes();
    --size_;
  }

 private:
  void Count(const Block* block) {
    bytes_ += block->allocated_bytes();
    ++size_;
  }

  Block* coldest_ = nullptr;
  Block* hottest_ = nullptr;
  uint64_t bytes_ = 0;
  uint64_t size_ = 0;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_BLOCK_LIST_H_
