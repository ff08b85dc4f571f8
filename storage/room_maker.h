#ifndef KVASIR_STORAGE_ROOM_MAKER_H_
#define KVASIR_STORAGE_ROOM_MAKER_H_

#include <cstdint>
#include <vector>

#include "storage/arena.h"
#include "storage/block_internal.h"
#include "storage/victim_queue.h"

namespace kvasir {

// Chooses which blocks to evict so that one allocation fits. The eviction order alone
// leaves the arena full of holes, none large enough: with sizes from 64 KiB to 16 MiB in
// 1 GiB, 86 % of it held blocks (tests/bench/arena_bench). Neighbours alone, whatever
// their heat, filled it to 99 % and cost a third of the hits. So, in this order:
//   1. the coldest block, while less than a 40th of the arena is free: holes of that much
//      take in the small blocks and merge;
//   2. the cheapest window of neighbours among the coldest blocks;
//   3. the cheapest window around them, sparing used blocks;
//   4. the cheapest window anywhere, so that room is found if there is any.
// Internal to storage/.
//
// Threads: one at a time.
// Bounds:  a Choose looks at kColdest blocks, and at the slots that FindWindow allows.
class RoomMaker {
 public:
  // None owned; all must outlive this. `owner` gets back what was held in vain.
  RoomMaker(Arena* arena, VictimQueue* victims, BlockOwner* owner)
      : arena_(arena), victims_(victims), owner_(owner) {}

  // Blocks to evict next for an allocation of `size_bytes` that did not fit, each with a
  // reference for the caller. `round` counts the calls for this allocation from 0: the
  // order alone decides only in the first kRoundsInOrder. Empty if nothing can make room.
  std::vector<Block*> Choose(uint64_t size_bytes, int round);

  static constexpr int kRoundsInOrder = 64;

 private:
  enum class Reach : uint8_t { kColdest, kAroundColdest, kEverywhere };
  bool FewHoles() const;
  // Moves the window's blocks from `coldest` (sorted, held), or holds them.
  std::vector<Block*> HoldWindow(uint64_t size_bytes, Reach reach,
                                 std::vector<Block*>* coldest);

  Arena* const arena_;
  VictimQueue* const victims_;
  BlockOwner* const owner_;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_ROOM_MAKER_H_
