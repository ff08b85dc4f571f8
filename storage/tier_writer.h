#ifndef KVASIR_STORAGE_TIER_WRITER_H_
#define KVASIR_STORAGE_TIER_WRITER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/executor.h"
#include "storage/block_store.h"
#include "storage/tier_health.h"
#include "storage/tier_mask.h"

namespace kvasir {

// Stores blocks in the tier, in batches on an executor, from two queues of their own:
// durable puts, whose clients wait, and demotions, for which nobody does. A batch of each
// may be under way at once, so that neither waits for the other.
//
// A block that is not its key's block any more when its turn comes is not stored: it was
// replaced or removed. Who put it durably is told so, and not that it is durable: what
// replaced it may never be.
//
// Threads: every method from any thread.
// Bounds:  each queue, with what is under way, kTierQueueBlocksMax blocks, and bytes as
//          given. Full is full: nothing waits for room.
class TierWriter {
 public:
  struct World {
    Executor* executor = nullptr;
    const Clock* clock = nullptr;
    BlockStore* memory = nullptr;
    TierMask* mask = nullptr;
    TierHealth* health = nullptr;
    uint64_t queue_bytes_max = 0;
  };
  struct Stats {
    uint64_t queued_blocks = 0, queued_bytes = 0;  // of both queues, under way too
    // Since the start.
    uint64_t demoted_blocks = 0, demoted_bytes = 0;
    uint64_t durable_blocks = 0, durable_bytes = 0;
    uint64_t dropped_demotions = 0;  // the queue was full
    uint64_t failed_blocks = 0;      // the tier did not take them
  };
  using Done = absl::AnyInvocable<void(const absl::Status& status) &&>;

  // Nothing in `world` is owned; all must outlive this, and the executor's tasks end first.
  explicit TierWriter(const World& world) : world_(world) {}

  // Whether Demote has room for a block of that size.
  bool MayDemote(uint64_t size_bytes) const ABSL_LOCKS_EXCLUDED(mu_);
  // False, and the block is let go, if the queue is full or the tier would not keep it.
  bool Demote(BlockRef block) ABSL_LOCKS_EXCLUDED(mu_);
  // `done` runs once the block is in the tier with `durability`: OK, else
  // ResourceExhausted or Unavailable, or Aborted if it was replaced or removed before its
  // turn. At once, if the queue is full.
  // REQUIRES: not kNone.
  void StoreDurably(BlockRef block, Durability durability, Done done)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Whether StoreDurably would fail now, and why.
  absl::Status CheckDurable(uint64_t size_bytes) const ABSL_LOCKS_EXCLUDED(mu_);

  // A Store of some block of the key may be under way.
  bool IsStoring(std::string_view key) const ABSL_LOCKS_EXCLUDED(mu_);
  bool idle() const ABSL_LOCKS_EXCLUDED(mu_);
  // Goes on where the executor was full.
  void Step() ABSL_LOCKS_EXCLUDED(mu_);
  Stats stats() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Item {
    BlockRef block;
    Durability durability = Durability::kNone;
    Done done;
    absl::Status status;
    bool void_now = false;  // not its key's block any more: never handed to the tier
  };
  struct Queue {
    std::deque<Item> items;
    uint64_t blocks = 0, bytes = 0;  // under way too
    bool running = false;
  };
  // Blocks that the tier did not take, and no line in the log tells of yet.
  struct Unlogged {
    uint64_t blocks = 0, bytes = 0, largest_bytes = 0;
  };
  static constexpr size_t kDurable = 0, kDemotions = 1;

  absl::Status CheckRoomLocked(const Queue& queue, uint64_t size_bytes) const
      ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void EnqueueLocked(Queue* queue, Item item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Pump(size_t queue) ABSL_LOCKS_EXCLUDED(mu_);
  void Run(size_t queue) ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<Item> Take(size_t queue) ABSL_LOCKS_EXCLUDED(mu_);
  void StoreAll(std::span<Item> items) ABSL_LOCKS_EXCLUDED(mu_);
  // Logs that the tier did not take the blocks: a line each kTierWarningInterval at most.
  void Warn(const absl::Status& status, std::span<const Tier::Record> records)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Finish(size_t queue, std::vector<Item> items) ABSL_LOCKS_EXCLUDED(mu_);

  const World world_;
  mutable absl::Mutex mu_;
  std::array<Queue, 2> queues_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, int> storing_ ABSL_GUARDED_BY(mu_);  // by key
  Stats stats_ ABSL_GUARDED_BY(mu_);
  Unlogged unlogged_ ABSL_GUARDED_BY(mu_);
  Instant next_warning_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_TIER_WRITER_H_
