#include "storage/list_orders.h"

#include <bit>

namespace kvasir {
namespace {

void VisitFrom(Block* block, size_t blocks_max, absl::FunctionRef<void(Block*)> visit) {
  for (; block != nullptr && blocks_max > 0; block = block->hotter, --blocks_max)
    visit(block);
}

}  // namespace

void FifoOrder::Insert(Block* block) {
  block->place = Block::Place::kLinked;
  list_.PushHottest(block);
}

void FifoOrder::Return(Block* block) {
  // It was its turn when it was in the way, so it stays its turn.
  block->place = Block::Place::kLinked;
  list_.PushColdest(block);
}

void FifoOrder::Unlink(Block* block) {
  list_.Unlink(block);
  block->place = Block::Place::kNone;
}

Block* FifoOrder::PopVictim() {
  Block* const victim = list_.coldest();
  if (victim != nullptr) Unlink(victim);
  return victim;
}

void FifoOrder::VisitColdest(size_t blocks_max,
                             absl::FunctionRef<void(Block* block)> visit) const {
  VisitFrom(list_.coldest(), blocks_max, visit);
}

void LruOrder::Touch(Block* block) {
  list_.Unlink(block);
  list_.PushHottest(block);
}

void LfuOrder::Touch(Block* block) {
  Unlink(block);
  if (block->rank + 1u < kFrequencies) ++block->rank;
  Link(block);
}

void LfuOrder::Insert(Block* block) {
  block->rank = 0;
  Link(block);
}

void LfuOrder::Link(Block* block) {
  block->place = Block::Place::kLinked;
  lists_[block->rank].PushHottest(block);
  filled_ |= uint64_t{1} << block->rank;
}

void LfuOrder::Unlink(Block* block) {
  BlockList& list = lists_[block->rank];
  list.Unlink(block);
  if (list.empty()) filled_ &= ~(uint64_t{1} << block->rank);
  block->place = Block::Place::kNone;
}

Block* LfuOrder::PopVictim() {
  if (filled_ == 0) return nullptr;
  Block* const victim = lists_[std::countr_zero(filled_)].coldest();
  Unlink(victim);
  return victim;
}

void LfuOrder::VisitColdest(size_t blocks_max,
                            absl::FunctionRef<void(Block* block)> visit) const {
  for (const BlockList& list : lists_) {
    VisitFrom(list.coldest(), blocks_max, visit);
    if (list.size() >= blocks_max) return;
    blocks_max -= list.size();
  }
}

void SieveOrder::Insert(Block* block) {
  block->place = Block::Place::kLinked;
  block->set_uses(0);
  list_.PushHottest(block);
}

void SieveOrder::Return(Block* block) {
  block->place = Block::Place::kLinked;
  list_.PushHottest(block);
}

void SieveOrder::Unlink(Block* block) {
  if (hand_ == block) hand_ = block->hotter;
  list_.Unlink(block);
  block->place = Block::Place::kNone;
}

Block* SieveOrder::PopVictim() {
  if (list_.empty()) return nullptr;
  // Ends: each step but the last clears the uses of a block, and at most one round of
  // hits per block is left to clear.
  Block* at = hand_ != nullptr ? hand_ : list_.coldest();
  for (size_t steps = 0; at->uses() > 0 && steps < list_.size(); ++steps) {
    at->set_uses(0);
    at = at->hotter != nullptr ? at->hotter : list_.coldest();
  }
  hand_ = at;
  Unlink(at);  // moves the hand on
  return at;
}

void SieveOrder::VisitColdest(size_t blocks_max,
                              absl::FunctionRef<void(Block* block)> visit) const {
  Block* at = hand_ != nullptr ? hand_ : list_.coldest();
  // Used blocks are passed over, not visited, so look at more than are asked for.
  for (size_t looks = 4 * blocks_max; at != nullptr && looks > 0 && blocks_max > 0;
       --looks) {
    Block* const next = at->hotter;
    if (at->uses() == 0) {
      visit(at);
      --blocks_max;
    }
    at = next;
  }
}

}  // namespace kvasir
