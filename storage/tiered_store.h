#ifndef KVASIR_STORAGE_TIERED_STORE_H_
#define KVASIR_STORAGE_TIERED_STORE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/executor.h"
#include "storage/block_store.h"
#include "storage/demoter.h"
#include "storage/durable_stores.h"
#include "storage/key_info.h"
#include "storage/promoter.h"
#include "storage/settlements.h"
#include "storage/tier.h"
#include "storage/tier_eraser.h"
#include "storage/tier_health.h"
#include "storage/tier_mask.h"
#include "storage/tier_writer.h"

namespace kvasir {

enum class WritePolicy : uint8_t {
  kWriteBack,     // blocks go to the tier as they get cold, and at a drain
  kWriteThrough,  // every block goes to the tier at its commit, behind durable ones
};

// Memory over a tier. The truth of each place is its own: memory knows what is in memory,
// the tier's catalogue what is on disk, and where a block is follows from both. There is
// no third record to disagree with them.
//
// What holds for each key: what the tier shows of it (through the mask) is the block that
// memory has, or memory has none. So a read from either is right; a block in memory whose
// generation the tier has is evicted for nothing; and a commit that replaces a block of
// the tier hides that before it returns, and counts as settled only when the tier has
// deleted it for good. A durable put deletes nothing of its own: the older block stays on
// disk, hidden, until the newer one is there, and is shown again if the disk refuses that.
//
// Without a tier it is the block store and nothing more.
//
// Threads: every method from any thread; Step and SaveStep from one at a time. Nothing
//          here waits for the disk.
class TieredStore {
 public:
  struct Options {
    EvictionPolicyKind eviction_policy = EvictionPolicyKind::kS3Fifo;
    WritePolicy write_policy = WritePolicy::kWriteBack;
    Demoter::Options demotion;
  };
  struct Stats {
    BlockStore::Stats memory;
    TierWriter::Stats writer;
    Promoter::Stats promoter;
    uint64_t erasures = 0;  // waiting for the tier
    bool has_tier = false;
    Tier::Stats tier;
  };

  // `arena` and `clock` are not owned and must outlive the store. The executors, which
  // run the tier's calls, neither, but their tasks must end first; a store that is never
  // given a tier needs none.
  TieredStore(Arena* arena, const Options& options, const Clock* clock,
              Executor* store_executor, Executor* load_executor);

  // Puts a tier below, once. Not owned; must outlive the store.
  // REQUIRES: nothing was put or removed yet, or the tier is empty and always was: what
  // it has would be newer than it is.
  void Attach(Tier* tier);
  // Tells health whether the tier takes writes, by a deletion of nothing. Waits for the
  // disk. REQUIRES: there is a tier.
  void TryWrites();

  Residency Probe(std::string_view key) const;
  std::vector<KeyInfo> List(std::string_view prefix, std::string_view after,
                            size_t limit) const;
  // NotFound if the key is in neither place.
  absl::StatusOr<KeyInfo> Stat(std::string_view key) const;

  // As BlockStore's. Unavailable too, for a put that replaces a block on a disk which
  // could not delete it.
  absl::StatusOr<Reservation> Reserve(std::string_view key,
                                      const BlockStore::ReserveOptions& options);
  // Whether a durable put of that size would fail now, and why: Unavailable or
  // ResourceExhausted.
  absl::Status CheckDurable(uint64_t size_bytes) const;
  // As BlockStore's; the block is visible on OK. 0: it is settled. Otherwise the number
  // of a settlement: the put may be acknowledged once that is OK, and not before. Where a
  // durable put fails that replaced a block of the tier, that block is back by then.
  absl::StatusOr<uint64_t> Commit(Reservation reservation, uint64_t checksum,
                                  Durability durability);
  // Makes the block that the key has as durable as a put with that durability would. 0: it
  // is. Otherwise the number of a settlement, that of another's store if one is under way.
  // NotFound if the key has none; ResourceExhausted or Unavailable as CheckDurable, or if
  // the block is on disk only, without that promise.
  absl::StatusOr<uint64_t> MakeDurable(std::string_view key, Durability durability);
  Settlements* settlements() { return &settlements_; }

  // Memory's block; NotFound if memory has none, wherever else it is.
  absl::StatusOr<BlockRef> Fetch(std::string_view key) { return memory_.Fetch(key); }
  absl::StatusOr<BlockRef> Peek(std::string_view key) { return memory_.Peek(key); }
  // Starts to copy the key's block into memory. False if the tier has none, or it cannot
  // come now. `landed` as Promoter has it.
  bool Promote(std::string_view key, Promoter::Landed landed);
  bool IsPromoting(std::string_view key) const { return promoter_.IsUnderWay(key); }
  bool AwaitPromotion(std::string_view key, Promoter::Landed landed) {
    return promoter_.Await(key, std::move(landed));
  }

  enum class Removed : uint8_t {
    kAbsent,
    kRemoved,
    kPending,  // nobody sees it any more, but a crash might bring it back: ask again
    kFailed,   // the disk does not take it now
  };
  Removed Remove(std::string_view key);
  // What a removal that was kPending has come to, without asking for it again, which would
  // remove what was put since: kRemoved, kPending or kFailed.
  Removed RemovalOf(std::string_view key) const;
  // Runs `settled` when a removal that is kPending may have another answer. False, and
  // never, if it has it already.
  bool AwaitRemoval(std::string_view key, absl::AnyInvocable<void() &&> settled) {
    return eraser_.Await(key, std::move(settled));
  }

  // Demotes, evicts, retries and probes as of now.
  void Step();
  // For the end of a node: demotes what the tier does not have yet, as far as the queues
  // take it. True once all is stored, or nothing more can be.
  bool SaveStep();

  BlockStore* memory() { return &memory_; }
  TierHealth* health() { return &health_; }
  Stats stats() const;

 private:
  // Where there is none, what was done to memory before is seen by a tier that comes.
  bool HasTier() const {
    return store_executor_ != nullptr && mask_.TierInOrder() != nullptr;
  }
  absl::StatusOr<uint64_t> SettleBelow(BlockRef block, Durability durability);
  // The number of a settlement. `replaces`: the tier may have an older block, hidden by now.
  uint64_t StoreDurably(BlockRef block, Durability durability, bool replaces);
  // Tells the tier of a promise that the block keeps as it is. 0, or the number of a
  // settlement, which is OK: what the tier cannot note, because its disk fails or too much
  // waits for it, is only not counted.
  uint64_t PromiseBelow(std::string_view key, uint64_t generation);
  // What the tier has of the key, hidden or not; 0: nothing.
  uint64_t GenerationOnDisk(std::string_view key) const;
  void SettleReplaced(std::string_view key, uint64_t generation,
                      const absl::Status& stored);
  void ProbeTier();

  const Options options_;
  const Clock* const clock_;
  Executor* const store_executor_;
  TierMask mask_;
  BlockStore memory_;
  TierHealth health_;
  Settlements settlements_;
  DurableStores durable_stores_;
  TierWriter writer_;
  TierEraser eraser_;
  Promoter promoter_;
  Demoter demoter_;
  const std::string probe_key_;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_TIERED_STORE_H_
