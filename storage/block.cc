#include "storage/block.h"

#include <new>
#include <utility>

#include "base/check.h"
#include "storage/block_internal.h"

namespace kvasir {
namespace {

Extent ExtentOf(const Block& block, const BlockOwner& owner) {
  return {.region = owner.region()->id(),
          .offset_bytes = block.offset_bytes(),
          .size_bytes = block.size_bytes()};
}

std::span<std::byte> BytesOf(const Block& block, const BlockOwner& owner) {
  return owner.region()->Slice(ExtentOf(block, owner));
}

}  // namespace

Block* Block::New(std::string_view key, std::string_view attributes, uint64_t size_bytes,
                  uint64_t generation) {
  void* const memory = ::operator new(sizeof(Block) + key.size() + attributes.size());
  auto* const block = new (memory) Block;
  block->size_bytes_ = static_cast<uint32_t>(size_bytes);
  block->key_bytes_ = static_cast<uint16_t>(key.size());
  block->attributes_bytes_ = static_cast<uint16_t>(attributes.size());
  block->generation_ = generation;
  char* const text = reinterpret_cast<char*>(block + 1);
  key.copy(text, key.size());
  attributes.copy(text + key.size(), attributes.size());
  return block;
}

void Block::Delete(Block* block) {
  block->~Block();
  ::operator delete(block);
}

void Block::Hold() {
  // Relaxed: the caller's own reference, or its lock, already made the block visible.
  holds_.fetch_add(1, std::memory_order_relaxed);
}

bool Block::HoldIfIdle() {
  uint32_t idle = kIndexed | 1;
  // Relaxed, as in Hold; who then frees the block checks again under the shard's lock.
  return holds_.compare_exchange_strong(idle, kIndexed | 2, std::memory_order_relaxed);
}

Block::Dropped Block::Drop() {
  uint32_t holds = holds_.load(std::memory_order_relaxed);
  do {
    KV_CHECK((holds & kCountMask) > 0);
    if ((holds & kParked) != 0 && (holds & kCountMask) == 2) return Dropped::kMustUnpark;
    // Release: what this holder read of the extent happens before its reuse. Pairs with
    // the acquire of the last Drop, and with that in IsIdle before an eviction.
  } while (!holds_.compare_exchange_weak(holds, holds - 1, std::memory_order_acq_rel,
                                         std::memory_order_relaxed));
  return (holds & kCountMask) == 1 ? Dropped::kLast : Dropped::kHeld;
}

bool Block::ParkIfHeld() {
  uint32_t holds = holds_.load(std::memory_order_relaxed);
  do {
    if ((holds & kCountMask) < 2) return false;
  } while (
      !holds_.compare_exchange_weak(holds, holds | kParked, std::memory_order_relaxed));
  return true;
}

void Block::ClearParked() { holds_.fetch_and(~kParked, std::memory_order_relaxed); }
void Block::SetIndexed() { holds_.fetch_or(kIndexed, std::memory_order_relaxed); }
void Block::ClearIndexed() { holds_.fetch_and(~kIndexed, std::memory_order_relaxed); }

bool Block::indexed() const {
  return (holds_.load(std::memory_order_relaxed) & kIndexed) != 0;
}
bool Block::parked() const {
  return (holds_.load(std::memory_order_relaxed) & kParked) != 0;
}

bool Block::IsIdle(uint32_t mine) const {
  // Acquire: pairs with the release in Drop of every reader that is gone.
  const uint32_t holds = holds_.load(std::memory_order_acquire);
  return (holds & kIndexed) != 0 && (holds & kCountMask) == 1 + mine;
}

uint32_t Block::references() const {
  const uint32_t holds = holds_.load(std::memory_order_relaxed);
  return (holds & kCountMask) - ((holds & kIndexed) != 0 ? 1 : 0);
}

BlockRef::BlockRef(BlockRef&& other) noexcept
    : block_(std::exchange(other.block_, nullptr)), owner_(other.owner_) {}

BlockRef& BlockRef::operator=(BlockRef&& other) noexcept {
  BlockRef taken(std::move(other));
  std::swap(block_, taken.block_);
  std::swap(owner_, taken.owner_);
  return *this;
}

BlockRef::~BlockRef() {
  if (block_ != nullptr) owner_->Release(block_);
}

BlockRef BlockRef::Share() const {
  block_->Hold();
  return BlockRef(block_, owner_);
}

std::string_view BlockRef::key() const { return block_->key(); }
uint64_t BlockRef::size_bytes() const { return block_->size_bytes(); }
uint64_t BlockRef::checksum() const { return block_->checksum(); }
std::string_view BlockRef::attributes() const { return block_->attributes(); }
uint64_t BlockRef::generation() const { return block_->generation(); }
Extent BlockRef::extent() const { return ExtentOf(*block_, *owner_); }
std::span<const std::byte> BlockRef::bytes() const { return BytesOf(*block_, *owner_); }

Reservation::Reservation(Reservation&& other) noexcept
    : block_(std::exchange(other.block_, nullptr)), owner_(other.owner_) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  Reservation taken(std::move(other));
  std::swap(block_, taken.block_);
  std::swap(owner_, taken.owner_);
  return *this;
}

Reservation::~Reservation() {
  if (block_ != nullptr) owner_->Abandon(block_);
}

std::string_view Reservation::key() const { return block_->key(); }
uint64_t Reservation::size_bytes() const { return block_->size_bytes(); }
uint64_t Reservation::generation() const { return block_->generation(); }
Extent Reservation::extent() const { return ExtentOf(*block_, *owner_); }
std::span<std::byte> Reservation::bytes() const { return BytesOf(*block_, *owner_); }
void Reservation::Unbind() { owner_->Unbind(block_); }

}  // namespace kvasir
