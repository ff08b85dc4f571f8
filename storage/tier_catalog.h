#ifndef KVASIR_STORAGE_TIER_CATALOG_H_
#define KVASIR_STORAGE_TIER_CATALOG_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "storage/disk_format.h"
#include "storage/key_hash.h"
#include "storage/tier.h"

namespace kvasir {

// What a disk tier has, in memory: key -> {block, generation, segment}, and the removals
// that it still has to remember. Sharded by the key's hash. Does no IO.
//
// A key is live (a block in a segment), hidden up to a generation, or both: a removal
// outlives the newer block that came after it, for when that one is dropped.
//
// Threads: every method from any thread; lookups take one shard's lock as readers.
// Bounds:  an entry (56 B) and malloc's share (about 16 B), 10 to 21 B a hash entry and
//          about 12 B a tree entry: at most 150 B a key beyond the key and its attributes
//          (tests/bench/catalog_bench).
class TierCatalog {
 public:
  static constexpr size_t kShards = 256;
  // No segment has this number.
  static constexpr uint64_t kNoSegment = 0;

  TierCatalog() = default;
  ~TierCatalog();
  TierCatalog(const TierCatalog&) = delete;
  TierCatalog& operator=(const TierCatalog&) = delete;

  // A block that is not in the catalogue any more, or at another place.
  struct Gone {
    uint64_t segment = kNoSegment;  // kNoSegment: there was none
    uint64_t size_bytes = 0;
    uint64_t record_bytes = 0;  // on disk
  };

  // True if the generation is newer than what is there and is not hidden.
  bool Wants(std::string_view key, uint64_t generation) const;
  struct Placed {
    bool live = false;  // the block is in the catalogue now
    Gone gone;          // what it replaced
  };
  // Enters a block whose record is in `segment`, if the catalogue wants it, or has this
  // very generation in an older segment. One that is durable is promised.
  // REQUIRES: `segment` is not kNoSegment.
  Placed Place(const ListingEntry& listed, uint64_t segment);
  // Notes that a block is promised, if it is here.
  void Promise(std::string_view key, uint64_t generation);

  // Hides this generation and all before it.
  Gone Hide(std::string_view key, uint64_t generation);
  // Ends that, if nothing newer was hidden since.
  void Forget(std::string_view key, uint64_t generation);
  // Takes a block out, and hides nothing, if it is still in `segment`.
  Gone Drop(std::string_view key, uint64_t generation, uint64_t segment);
  // The same for all blocks of `segment`; `gone(g)` for each. Looks at every key.
  std::vector<Gone> DropSegment(uint64_t segment);

  struct Located {
    uint64_t segment = kNoSegment;  // kNoSegment: this generation is not here
    uint64_t size_bytes = 0;
    uint64_t checksum = 0;
    bool used = false;  // since the block came to its segment
    bool promised = false;
  };
  Located Locate(std::string_view key, uint64_t generation) const;
  // Notes a use.
  void Use(std::string_view key, uint64_t generation) const;

  std::optional<TierBlock> Find(std::string_view key) const;
  // See Tier::List.
  std::vector<Tier::Listed> List(std::string_view prefix, std::string_view after,
                                 size_t limit) const;

  uint64_t blocks() const { return blocks_.load(std::memory_order_relaxed); }
  uint64_t block_bytes() const { return block_bytes_.load(std::memory_order_relaxed); }
  uint64_t hidden() const { return hidden_.load(std::memory_order_relaxed); }
  // What all of this takes, estimated.
  uint64_t memory_bytes() const;

 private:
  struct Entry;
  struct HashedKey {
    explicit HashedKey(std::string_view k) : key(k), hash(HashKey(k)) {}
    std::string_view key;
    uint64_t hash;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(const HashedKey& key) const { return key.hash; }
    size_t operator()(const Entry* entry) const;
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const Entry* a, const Entry* b) const { return a == b; }
    bool operator()(const Entry* a, const HashedKey& b) const;
  };
  struct ByKey {
    using is_transparent = void;
    bool operator()(const Entry* a, const Entry* b) const;
    bool operator()(const Entry* a, std::string_view b) const;
    bool operator()(std::string_view a, const Entry* b) const;
  };
  struct alignas(64) Shard {
    Entry* FindLocked(const HashedKey& key) const ABSL_SHARED_LOCKS_REQUIRED(mu);

    mutable absl::Mutex mu;
    absl::flat_hash_set<Entry*, Hash, Equal> by_hash ABSL_GUARDED_BY(mu);
    absl::btree_set<Entry*, ByKey> live ABSL_GUARDED_BY(mu);
  };

  // The hash tables use the low bits.
  static size_t ShardOf(uint64_t hash) { return hash >> 56; }
  static_assert(kShards == 1 << 8);
  Shard& ShardOfKey(const HashedKey& key) { return shards_[ShardOf(key.hash)]; }
  const Shard& ShardOfKey(const HashedKey& key) const {
    return shards_[ShardOf(key.hash)];
  }
  void InsertLocked(Shard& shard, Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);
  void EraseLocked(Shard& shard, Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);
  // Takes the live block out of `entry`; erases the entry if that leaves nothing.
  Gone EndLocked(Shard& shard, Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);
  std::vector<Tier::Listed> ReadShard(size_t shard, std::string_view prefix,
                                      std::string_view after, size_t limit) const;

  std::array<Shard, kShards> shards_;
  // Relaxed: sums for stats only.
  std::atomic<uint64_t> blocks_{0};
  std::atomic<uint64_t> block_bytes_{0};
  std::atomic<uint64_t> hidden_{0};
  std::atomic<uint64_t> entry_bytes_{0};
  std::atomic<uint64_t> hash_slots_{0};
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_TIER_CATALOG_H_
