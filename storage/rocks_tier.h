#ifndef KVASIR_STORAGE_ROCKS_TIER_H_
#define KVASIR_STORAGE_ROCKS_TIER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/executor.h"
#include "storage/tier.h"

namespace rocksdb {
class Env;
}  // namespace rocksdb

namespace kvasir {

struct RocksTierState;
class RocksTierWriter;
class TierDirectory;

struct RocksTierOptions {
  std::string directory;  // ours alone; made if there is none
  uint64_t capacity_bytes = 0;
  // Run the reads of a Load and recovery, and the segments of a Store, side by side; null:
  // one after another. They must outlive the tier, and may be what calls the tier.
  Executor* readers = nullptr;
  Executor* writers = nullptr;
  size_t readers_max = 0;    // tasks at once, for one call; at most kMaxTierReaders
  bool direct_reads = true;  // past the page cache: memory above is the cache
  bool direct_writes = true;
  uint64_t segment_bytes = 0;   // 0: from the capacity
  rocksdb::Env* env = nullptr;  // null: the system's; for tests of failing disks
};

// A tier on a disk. Blocks lie in segments: files of a RocksDB database that hold a batch
// of records each, written sorted and synced outside of the database, taken in whole, and
// dropped whole. docs/disk_format.md has the layout, and what it was measured against.
//
// Store: calls that wait for the disk at the same time are written as one segment. Every
// segment is synced before OK, so all blocks survive the loss of power, whatever
// Durability was asked for. A removal survives the death of the process on return, and
// the loss of power a little later.
//
// Threads: any, and no threads of its own but RocksDB's two for metadata.
// Bounds:  kMaxTierQueuedStores callers; memory beside the catalogue: what one group of
//          Stores and one segment have.
class RocksTier final : public Tier {
 public:
  // Opens the directory and rebuilds the catalogue; `progress` (may be empty) hears of
  // keys so far and in all. Drops what does not fit the capacity any more.
  // FailedPrecondition if another process holds the directory, if it is not a tier's, or
  // of another version; DataLoss if the database cannot be read (see SetAside);
  // Unavailable, PermissionDenied or Internal if the disk does not let us read it;
  // ResourceExhausted if there is none yet, and no room for one. A disk that can be read
  // and takes no writes is no error: the tier has what is there, Store and Delete fail,
  // and each of them tries whether it takes writes again.
  // REQUIRES: capacity_bytes at least kMinTierBudgetBytes.
  static absl::StatusOr<std::unique_ptr<RocksTier>> Open(
      const RocksTierOptions& options,
      const std::function<void(uint64_t keys, uint64_t keys_total)>& progress);
  // Moves an unreadable database out of the way, within its directory, and returns where
  // it is. Nothing is mended or deleted. See TierDirectory::SetAside for errors.
  static absl::StatusOr<std::string> SetAside(const std::string& directory);
  // REQUIRES: no call is under way.
  ~RocksTier() override;

  absl::Status Store(std::span<const Record> batch, Durability durability) override
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Promise(std::string_view key, uint64_t generation) override
      ABSL_LOCKS_EXCLUDED(mu_);
  void Load(std::span<Read> batch) override;
  absl::Status Delete(std::span<const Tombstone> batch) override
      ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<TierBlock> Find(std::string_view key) const override;
  std::vector<Listed> List(std::string_view prefix, std::string_view after,
                           size_t limit) const override;
  uint64_t generation_max() const override;
  Stats stats() const override;

 private:
  struct PromisedBlock {
    std::string_view key;
    uint64_t generation = 0;
  };
  // One call of Store or Promise, or a Delete that leaves something to tidy up.
  struct Waiter {
    std::span<const Record> batch;
    const PromisedBlock* promised = nullptr;
    bool durable = false;
    uint64_t bytes = 0;
    bool done = false;
    absl::Status status;
  };

  RocksTier(std::unique_ptr<TierDirectory> directory,
            std::unique_ptr<RocksTierState> state);
  // Waits for the waiter's turn; the first in line writes for those behind it.
  absl::Status Enqueue(Waiter* waiter) ABSL_LOCKS_EXCLUDED(mu_);
  // The waiters from the front that fit into one segment.
  std::vector<Waiter*> GroupLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What the stores of the group came to; each promise is told by itself.
  absl::Status WriteGroup(std::span<Waiter* const> group);
  bool WriterBusy() const ABSL_LOCKS_EXCLUDED(mu_);

  absl::Status LoadOne(const Read& read);
  // Aborted if the block has moved meanwhile.
  absl::Status LoadFrom(const Read& read, uint64_t segment, uint64_t checksum);

  const std::unique_ptr<TierDirectory> directory_;
  const std::unique_ptr<RocksTierState> state_;
  // Used by the first waiter only.
  const std::unique_ptr<RocksTierWriter> writer_;

  mutable absl::Mutex mu_;
  std::deque<Waiter*> waiters_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_ROCKS_TIER_H_
