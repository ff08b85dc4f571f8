#ifndef KVASIR_STORAGE_BLOCK_STORE_H_
#define KVASIR_STORAGE_BLOCK_STORE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/arena.h"
#include "base/block_info.h"
#include "storage/block.h"
#include "storage/blocks_below.h"
#include "storage/cold_block.h"
#include "storage/eviction_policy.h"
#include "storage/key_info.h"

namespace kvasir {

// Key -> block over memory. Blocks are immutable; a committed block is dropped from the
// index first and its memory reused only after the last reference goes. A block's
// generation, from its commit on, is the order of the commits of its key.
//
// With a place below, a key that is there counts as committed; what the store here has
// of it is the same block or a newer one. Moving blocks is the affair of tiered_store.
//
// Threads: every method from any thread.
// Bounds:  memory by the arena; the index costs at most 150 B a key beyond the key.
class BlockStore {
 public:
  struct Options {
    EvictionPolicyKind eviction_policy = EvictionPolicyKind::kS3Fifo;
    // Not owned; must outlive the store. Null: memory is all there is.
    const BlocksBelow* below = nullptr;
  };
  struct ReserveOptions {
    uint64_t size_bytes = 0;
    std::string_view attributes;
    bool replace = false;  // the last commit wins, instead of the first
  };
  using KeyInfo = kvasir::KeyInfo;
  struct Stats {
    uint64_t blocks = 0;           // committed and in the index
    uint64_t block_bytes = 0;      // what their extents take in the arena
    uint64_t reserved_blocks = 0;  // reservations alive, unbound ones too
    uint64_t reserved_bytes = 0;
    uint64_t unbound_blocks = 0;  // out of the index, still referenced
    uint64_t unbound_bytes = 0;
    uint64_t evicted_blocks_total = 0;
    uint64_t evicted_bytes_total = 0;
    // Of these, blocks that were not below, where there is a place below.
    uint64_t evicted_unsaved_blocks_total = 0;
    uint64_t index_bytes = 0;  // memory of the index beyond keys, estimated
  };
  // capacity == free + block_bytes + reserved_bytes + unbound_bytes, exactly, whenever
  // no call is under way.

  // `arena` is not owned and must outlive the store.
  BlockStore(Arena* arena, const Options& options);
  ~BlockStore();

  Residency Probe(std::string_view key) const;

  // Begins a new block. Evicts as needed. AlreadyExists if the key is committed and
  // `replace` is not set; Aborted if another reservation fills it and `replace` is not
  // set; ResourceExhausted if nothing more can be evicted; InvalidArgument for a key,
  // size or attributes outside base/limits.h. The store is unchanged on error.
  absl::StatusOr<Reservation> Reserve(std::string_view key,
                                      const ReserveOptions& options);

  // Publishes the block with one store to the index; from here its bytes never change.
  // AlreadyExists if another writer committed the key first and this reservation is not
  // a replacing one; FailedPrecondition if it was unbound. The reservation is consumed
  // and on error its memory is free again.
  absl::Status Commit(Reservation reservation, uint64_t checksum);
  // The same, and the block with a reference, so that it stays until that goes.
  absl::StatusOr<BlockRef> CommitAndHold(Reservation reservation, uint64_t checksum);

  // Memory for a copy of what is below. Nobody sees it before its commit, and writers are
  // not in its way, nor it in theirs. Evicts and fails for memory as Reserve does.
  absl::StatusOr<Reservation> ReserveCopy(std::string_view key, const BlockInfo& info,
                                          uint64_t generation);
  // Publishes the copy under the generation that it has below. AlreadyExists if the key
  // is committed here; NotFound if that generation is not below any more.
  absl::StatusOr<BlockRef> CommitCopy(Reservation reservation, uint64_t checksum);

  // A reference to the committed block. NotFound if absent or still being filled.
  // Counts as a use for the eviction policy.
  absl::StatusOr<BlockRef> Fetch(std::string_view key);
  // The same without counting as a use.
  absl::StatusOr<BlockRef> Peek(std::string_view key);

  // Unbinds the key; its bytes stay until the last BlockRef goes. NotFound if absent.
  // A reservation that is filling the key is not disturbed.
  absl::Status Remove(std::string_view key);
  // The same of this very block; NotFound too if the key has another one by now.
  absl::Status RemoveGeneration(std::string_view key, uint64_t generation);

  // Committed keys with `prefix`, greater than `after` (empty: from the start), in byte
  // order, at most `limit`.
  std::vector<KeyInfo> List(std::string_view prefix, std::string_view after,
                            size_t limit) const;
  absl::StatusOr<KeyInfo> Stat(std::string_view key) const;

  // Frees at least `target_bytes` of unreferenced memory, coldest first, if there is as
  // much. Returns the bytes freed.
  uint64_t Evict(uint64_t target_bytes);
  // Evicts this block, if nobody else holds it. Returns the bytes freed.
  uint64_t EvictIfIdle(BlockRef block);
  // About the `blocks_max` coldest blocks that nobody holds, coldest first.
  std::vector<ColdBlock> Coldest(size_t blocks_max) const;

  // A number beyond every generation so far, and before all to come.
  uint64_t NextGeneration();
  // From now on generations are beyond `generation`.
  void GoBeyond(uint64_t generation);

  Stats stats() const;
  Arena* arena() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_BLOCK_STORE_H_
