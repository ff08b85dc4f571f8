#ifndef KVASIR_STORAGE_PROMOTER_H_
#define KVASIR_STORAGE_PROMOTER_H_

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
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/executor.h"
#include "storage/block_store.h"
#include "storage/tier_health.h"
#include "storage/tier_mask.h"

namespace kvasir {

// Copies blocks from the tier into memory, in batches on an executor. However many ask
// for a key, it is read once. A copy is published only if its generation is still what
// the tier has and memory has none, so a promotion loses every race; the reader then
// finds the newer block, or a miss. What has landed is held for kPromotionHold.
//
// Threads: every method from any thread.
// Bounds:  kTierQueueBlocksMax keys and the given bytes, queued and under way, and as
//          many bytes again of what has landed, of which the oldest are let go; two
//          batches at once; kMaxWaitersPerKey callbacks a key. Beyond them: a miss.
class Promoter {
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
    uint64_t queued_blocks = 0, queued_bytes = 0;  // under way too
    // Since the start.
    uint64_t promoted_blocks = 0, promoted_bytes = 0;
    uint64_t refused_blocks = 0;  // the queue was full, or loads are off
    uint64_t failed_blocks = 0;   // no memory, or the disk did not answer
    uint64_t corrupt_blocks = 0;
  };
  // Gets the block, which stays at least until it returns; null: there is none.
  using Landed = absl::AnyInvocable<void(const BlockRef* block) &&>;

  // Nothing in `world` is owned; all must outlive this, and the executor's tasks end first.
  explicit Promoter(const World& world) : world_(world) {}

  // Starts to promote the key's block, unless that is under way. False if it cannot now;
  // `landed`, if any, runs once it has ended, or never if false.
  bool Start(std::string_view key, const TierBlock& block, Landed landed)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool IsUnderWay(std::string_view key) const ABSL_LOCKS_EXCLUDED(mu_);
  // Runs `landed` when the key's promotion ends. False, and never, if none is under way
  // or too many wait for it.
  bool Await(std::string_view key, Landed landed) ABSL_LOCKS_EXCLUDED(mu_);

  // Goes on where the executor was full, and lets go of what has been held long enough.
  void Step() ABSL_LOCKS_EXCLUDED(mu_);
  Stats stats() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Held {
    BlockRef block;
    Instant until;
  };
  struct Job {
    TierBlock block;
    std::vector<Landed> landed;
  };
  // One key of a batch.
  struct Copy {
    std::string key;
    TierBlock block;
    Reservation reservation;
    BlockRef ref;
    absl::Status status;
  };
  static constexpr int kBatchesMax = 2;

  void Pump() ABSL_LOCKS_EXCLUDED(mu_);
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<Copy> Take() ABSL_LOCKS_EXCLUDED(mu_);
  void LoadAll(std::span<Copy> copies);
  void Publish(Copy* copy);
  void Finish(std::span<Copy> copies) ABSL_LOCKS_EXCLUDED(mu_);
  // Lets go of what is over its time or over the bounds.
  void Trim() ABSL_LOCKS_EXCLUDED(mu_);
  void CountLocked(const Copy& copy) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const World world_;
  mutable absl::Mutex mu_;
  int running_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<std::string, Job> jobs_ ABSL_GUARDED_BY(mu_);
  std::deque<std::string> queue_ ABSL_GUARDED_BY(mu_);  // jobs that no batch has taken
  std::deque<Held> held_ ABSL_GUARDED_BY(mu_);  // oldest first
  uint64_t held_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  Stats stats_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_PROMOTER_H_
