#include "storage/victim_queue.h"

namespace kvasir {
namespace {

// Held blocks that PopIdle parks before it lets others have the lock.
constexpr int kParksPerLock = 64;

// Holds the block for the caller if only the index does; else parks it. A block that has
// just left the index is left alone: who took it out will retire it.
bool HoldOrPark(Block* block) {
  // Each attempt fails only while the other would not: a round more for each holder that
  // comes or goes in between.
  while (block->indexed()) {
    if (block->HoldIfIdle()) return true;
    if (block->ParkIfHeld()) return false;
  }
  return false;
}

}  // namespace

VictimQueue::VictimQueue(EvictionPolicyKind kind, uint64_t capacity_bytes)
    : order_(EvictionOrder::Make(kind, capacity_bytes)),
      touch_is_lazy_(order_->touch_is_lazy()) {}

void VictimQueue::Add(Block* block) {
  absl::MutexLock lock(&mu_);
  if (block->place == Block::Place::kNone) order_->Insert(block);
}

void VictimQueue::Touch(Block* block) {
  block->CountUse();
  if (touch_is_lazy_) return;
  absl::MutexLock lock(&mu_);
  if (block->place == Block::Place::kLinked) order_->Touch(block);
}

void VictimQueue::Unpark(Block* block) {
  absl::MutexLock lock(&mu_);
  if (!block->parked()) return;
  block->ClearParked();
  order_->Return(block);
}

void VictimQueue::Retire(Block* block, Why why) {
  absl::MutexLock lock(&mu_);
  if (block->place == Block::Place::kLinked) order_->Unlink(block);
  block->place = Block::Place::kRetired;
  block->ClearParked();
  if (why == Why::kEvicted) order_->NoteEvicted(*block);
}

Block* VictimQueue::PopIdle() {
  while (true) {
    absl::MutexLock lock(&mu_);
    for (int parks = 0; parks < kParksPerLock; ++parks) {
      Block* const block = order_->PopVictim();
      if (block == nullptr) return nullptr;
      if (HoldOrPark(block)) return block;
    }
  }
}

void VictimQueue::PutBack(Block* block) {
  absl::MutexLock lock(&mu_);
  if (block->place == Block::Place::kNone) order_->Return(block);
}

std::vector<Block*> VictimQueue::HoldColdest(size_t blocks_max) {
  std::vector<Block*> held;
  held.reserve(blocks_max);
  absl::MutexLock lock(&mu_);
  order_->VisitColdest(blocks_max, [&held](Block* block) {
    if (block->HoldIfIdle()) held.push_back(block);
  });
  return held;
}

std::vector<ColdBlock> VictimQueue::ListColdest(size_t blocks_max) const {
  std::vector<ColdBlock> listed;
  listed.reserve(blocks_max);
  absl::MutexLock lock(&mu_);
  order_->VisitColdest(blocks_max, [&listed](Block* block) {
    // What is in the order stays until it is retired, which takes the lock.
    if (!block->IsIdle(/*mine=*/0)) return;
    listed.push_back({std::string(block->key()), block->generation(), block->size_bytes()});
  });
  return listed;
}

uint64_t VictimQueue::memory_bytes() const {
  absl::MutexLock lock(&mu_);
  return order_->memory_bytes();
}

}  // namespace kvasir
