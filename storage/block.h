#ifndef KVASIR_STORAGE_BLOCK_H_
#define KVASIR_STORAGE_BLOCK_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/block_info.h"
#include "base/extent.h"

namespace kvasir {

class Block;  // Reference-counted; internal to storage/ (block_internal.h).
class BlockOwner;

enum class Residency : uint8_t { kAbsent, kReserved, kMemory, kBoth, kDisk };

// Keeps one committed block's bytes in place. Move-only; Share makes another. While any
// BlockRef lives, the extent is neither freed nor reused: this is the only mechanism
// behind leases, pins, promotion and demotion alike. Thread-compatible; distinct
// BlockRefs of one block may be used and destroyed from any threads. Must not outlive
// its BlockStore.
class BlockRef {
 public:
  BlockRef() = default;  // Empty: refers to no block.
  BlockRef(BlockRef&& other) noexcept;
  BlockRef& operator=(BlockRef&& other) noexcept;
  ~BlockRef();

  bool empty() const { return block_ == nullptr; }
  // REQUIRES for the rest: !empty().
  BlockRef Share() const;
  std::string_view key() const;
  uint64_t size_bytes() const;
  uint64_t checksum() const;
  std::string_view attributes() const;
  uint64_t generation() const;
  // `size_bytes` of it are the block's size, not rounded up.
  Extent extent() const;
  std::span<const std::byte> bytes() const;

 private:
  friend class BlockStore;
  // Takes over one reference.
  BlockRef(Block* block, BlockOwner* owner) : block_(block), owner_(owner) {}
  Block* block_ = nullptr;
  BlockOwner* owner_ = nullptr;
};

// The sole right to fill a new block. Move-only. Destroying it uncommitted frees the
// extent at once and makes the key available again: destroy it only when no byte can
// still land there (the fence of design.md section 5). Must not outlive its BlockStore.
class Reservation {
 public:
  Reservation() = default;  // Empty.
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation();

  bool empty() const { return block_ == nullptr; }
  // REQUIRES for the rest: !empty().
  std::string_view key() const;
  uint64_t size_bytes() const;
  uint64_t generation() const;
  Extent extent() const;
  std::span<std::byte> bytes() const;
  // Makes the key available to other writers while the memory stays reserved, for a
  // grant that ran out and waits for its fence. Commit is refused afterwards.
  void Unbind();

 private:
  friend class BlockStore;
  Reservation(Block* block, BlockOwner* owner) : block_(block), owner_(owner) {}
  Block* block_ = nullptr;
  BlockOwner* owner_ = nullptr;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_BLOCK_H_
