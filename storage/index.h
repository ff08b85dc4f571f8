#ifndef KVASIR_STORAGE_INDEX_H_
#define KVASIR_STORAGE_INDEX_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "storage/block_internal.h"
#include "storage/blocks_below.h"
#include "storage/key_hash.h"

namespace kvasir {

// Key -> block, by hash and in byte order, and key -> reservations that fill it. Sharded
// by the hash. Holds one reference to each committed block. Internal to storage/.
//
// Threads: every method from any thread; lookups take one shard's lock as readers.
// Bounds:  Block (72 B) and malloc's share (about 16 B), 10 to 21 B a hash entry and
//          about 12 B a tree entry: at most 150 B a key (tests/bench/index_bench).
class Index {
 public:
  static constexpr size_t kShards = 256;

  // `below` is not owned and must outlive the index.
  explicit Index(const BlocksBelow* below = nullptr);
  // REQUIRES: TakeAll has emptied it, and no reservation is bound.
  ~Index();

  struct Lookup {
    bool committed = false;
    bool filling = false;
  };
  Lookup Probe(std::string_view key) const;
  // The committed block, with one more reference for the caller; null if there is none.
  Block* Find(std::string_view key) const;

  // Makes `block` a filler of its key. AlreadyExists if the key is committed, here or
  // below, Aborted if another reservation fills it; neither if it is replacing.
  absl::Status Bind(Block* block);
  // No effect if it is not bound.
  void Unbind(Block* block);

  struct Published {
    absl::Status status;
    Block* replaced = nullptr;  // the index's reference to it is the caller's now
  };
  // Unbinds `block` and makes it the committed block of its key, adding the index's
  // reference, with the next of `generations`: taken under the lock, they are in the
  // order of the key's commits. AlreadyExists if there is one, here or below, and
  // `block` is not replacing; FailedPrecondition if it was not bound.
  Published Publish(Block* block, std::atomic<uint64_t>* generations);
  // The same for a copy of what is below, which keeps its generation and was never
  // bound. AlreadyExists if the key is committed here; NotFound if the place below does
  // not have this generation any more.
  absl::Status PublishCopy(Block* block);

  // Takes the key's block out; the index's reference is the caller's. Null if absent.
  Block* Take(std::string_view key);
  // The same, if it has this generation; null otherwise.
  Block* TakeGeneration(std::string_view key, uint64_t generation);
  // Takes `block` out if it is in and only the index and the caller (once) hold it.
  bool TakeIdle(Block* block);
  // Takes every block out and hands it over to `take`, without a lock held.
  void TakeAll(absl::FunctionRef<void(Block* block)> take);

  // Runs `visit` on committed blocks of one shard that start with `prefix` and are
  // greater than `after`, in order, at most `limit`, under the shard's lock.
  void VisitShard(size_t shard, std::string_view prefix, std::string_view after,
                  size_t limit, absl::FunctionRef<void(const Block& block)> visit) const;

  // What `blocks` committed blocks, their hash tables and trees take beyond the keys'
  // bytes, estimated.
  uint64_t memory_bytes(uint64_t blocks) const;

 private:
  struct HashedKey {
    explicit HashedKey(std::string_view k) : key(k), hash(HashKey(k)) {}
    std::string_view key;
    uint64_t hash;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(const HashedKey& key) const { return key.hash; }
    size_t operator()(const Block* block) const { return HashKey(block->key()); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const Block* a, const Block* b) const { return a->key() == b->key(); }
    bool operator()(const Block* a, const HashedKey& b) const {
      return a->key() == b.key;
    }
  };
  struct ByKey {
    using is_transparent = void;
    bool operator()(const Block* a, const Block* b) const { return a->key() < b->key(); }
    bool operator()(const Block* a, std::string_view b) const { return a->key() < b; }
    bool operator()(std::string_view a, const Block* b) const { return a < b->key(); }
  };
  // Reservations of one key, replacing ones, stand side by side.
  struct ByKeyThenGeneration {
    using is_transparent = void;
    bool operator()(const Block* a, const Block* b) const {
      const int order = a->key().compare(b->key());
      return order != 0 ? order < 0 : a->generation() < b->generation();
    }
    bool operator()(const Block* a, std::string_view b) const { return a->key() < b; }
    bool operator()(std::string_view a, const Block* b) const { return a < b->key(); }
  };

  struct alignas(64) Shard {
    bool FillingLocked(std::string_view key) const ABSL_SHARED_LOCKS_REQUIRED(mu);
    void EraseLocked(Block* block) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

    mutable absl::Mutex mu;
    absl::flat_hash_set<Block*, Hash, Equal> by_hash ABSL_GUARDED_BY(mu);
    absl::btree_set<Block*, ByKey> by_key ABSL_GUARDED_BY(mu);
    absl::btree_set<Block*, ByKeyThenGeneration> filling ABSL_GUARDED_BY(mu);
  };
  // The hash tables use the low bits.
  bool IsBelow(std::string_view key) const {
    return below_ != nullptr && below_->FindGeneration(key).has_value();
  }
  void Insert(Shard* shard, Block* block) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard->mu);
  static size_t ShardOf(uint64_t hash) { return hash >> 56; }
  static_assert(kShards == 1 << 8);
  Shard& ShardOfKey(const HashedKey& key) { return shards_[ShardOf(key.hash)]; }
  const Shard& ShardOfKey(const HashedKey& key) const {
    return shards_[ShardOf(key.hash)];
  }

  const BlocksBelow* const below_;
  std::array<Shard, kShards> shards_;
  std::atomic<uint64_t> hash_slots_{0};  // relaxed: for memory_bytes only
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_INDEX_H_
