#ifndef KVASIR_STORAGE_BLOCK_INTERNAL_H_
#define KVASIR_STORAGE_BLOCK_INTERNAL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "storage/arena.h"

namespace kvasir {

// One block: its key, its place, who holds it. Key and attributes follow the object in
// one allocation. Internal to storage/.
//
// The word `holds_` counts references and carries two flags, so that each decision about
// a block's memory is one atomic step:
//   indexed  the index has one of the references. Set and cleared under the lock of the
//            key's shard. Without it, no new reference can come from a lookup.
//   parked   the block was in the way of eviction while referenced and is in no eviction
//            list: whoever drops the last reference but the index's puts it back. Set
//            and cleared under the eviction order's lock.
// The references' count can only grow from zero by a lookup (under the shard's lock,
// while indexed) or from a live reference; so "indexed, one reference" seen under the
// shard's exclusive lock stays so until that lock goes.
class Block final : public Arena::Slot {
 public:
  // Whether the eviction order has the block in a list. Retired: it never will again.
  enum class Place : uint8_t { kNone, kLinked, kRetired };

  // One reference, the caller's; not indexed.
  static Block* New(std::string_view key, std::string_view attributes,
                    uint64_t size_bytes, uint64_t generation);
  static void Delete(Block* block);

  std::string_view key() const { return {text(), key_bytes_}; }
  std::string_view attributes() const { return {text() + key_bytes_, attributes_bytes_}; }
  uint64_t size_bytes() const { return size_bytes_; }
  uint64_t generation() const { return generation_; }
  // Constant once indexed, as the generation is.
  uint64_t checksum() const { return checksum_; }
  void set_checksum(uint64_t checksum) { checksum_ = checksum; }
  void set_generation(uint64_t generation) { generation_ = generation; }

  // References.
  // Adds one. REQUIRES: the caller has one, or a lock under which one cannot go.
  void Hold();
  // Adds one if only the index has one, and the block is not parked.
  bool HoldIfIdle();
  // What Drop found.
  enum class Dropped : uint8_t { kHeld, kLast, kMustUnpark };
  // Gives one back. kMustUnpark: nothing was given back yet; unpark first.
  Dropped Drop();
  // Marks the block parked if others than the index hold it.
  bool ParkIfHeld();
  void ClearParked();
  // The index takes one reference over from the caller, or gives its one to the caller.
  void SetIndexed();
  void ClearIndexed();
  bool indexed() const;
  bool parked() const;
  // Only the index holds it; `mine` further references are the caller's.
  bool IsIdle(uint32_t mine) const;
  // Beyond the index's own.
  uint32_t references() const;

  // Uses since the eviction order last looked, at most 3. Any thread.
  static constexpr uint8_t kUsesMax = 3;
  uint8_t uses() const { return uses_.load(std::memory_order_relaxed); }
  void set_uses(uint8_t uses) { uses_.store(uses, std::memory_order_relaxed); }
  // One more. Two at once may count as one: it is a hint.
  void CountUse() {
    const uint8_t uses = this->uses();
    if (uses < kUsesMax) set_uses(uses + 1);
  }

  // The eviction order's, guarded by its lock.
  Block* colder = nullptr;
  Block* hotter = nullptr;
  Place place = Place::kNone;
  uint8_t rank = 0;  // which of its lists
  // A reservation that is filling its key; guarded by the lock of the key's shard.
  bool bound = false;
  // Constant: its commit replaces a committed block.
  bool replacing = false;

 private:
  static constexpr uint32_t kIndexed = 1u << 31;
  static constexpr uint32_t kParked = 1u << 30;
  static constexpr uint32_t kCountMask = kParked - 1;

  Block() = default;
  ~Block() = default;
  const char* text() const { return reinterpret_cast<const char*>(this + 1); }

  std::atomic<uint8_t> uses_{0};
  std::atomic<uint32_t> holds_{1};
  uint32_t size_bytes_ = 0;  // at most kMaxBlockBytes
  uint16_t key_bytes_ = 0;
  uint16_t attributes_bytes_ = 0;
  uint64_t generation_ = 0;
  uint64_t checksum_ = 0;
};

static_assert(kMaxBlockBytes < uint64_t{1} << 32);
static_assert(kMaxKeyBytes < 1 << 16 && kMaxAttributesBytes < 1 << 16);

// What BlockRef and Reservation call when they let go. Implemented by BlockStore.
class BlockOwner {
 public:
  // Gives one reference back.
  virtual void Release(Block* block) = 0;
  virtual void Unbind(Block* block) = 0;
  // Frees a reservation that was not committed.
  virtual void Abandon(Block* block) = 0;
  virtual Region* region() const = 0;

 protected:
  ~BlockOwner() = default;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_BLOCK_INTERNAL_H_
