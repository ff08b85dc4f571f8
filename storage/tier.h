#ifndef KVASIR_STORAGE_TIER_H_
#define KVASIR_STORAGE_TIER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/block_info.h"
#include "base/durability.h"

namespace kvasir {

// One key's block as a tier has it.
struct TierBlock {
  BlockInfo info;
  uint64_t generation = 0;
  // What it survives: at least what was asked of a Store of it.
  Durability durability = Durability::kNone;
  // False: the tier counts what it loses of what was promised, and does not know yet that
  // this block was. See Tier::Promise.
  bool promised = true;
};

// A slower place for blocks, beneath memory. Copies bytes in and out; hands out no
// pointers. Takes batches, because a disk is fast only in large writes and deep reads.
//
// A block is named by key and generation. Generations of a key grow with its commits, so
// they, and not the order of calls, say which block is newer: a Store of an older
// generation than the tier has, or than a Delete named, changes nothing and is OK. That
// lets a demotion lose every race against a removal. A Store of the very generation that
// the tier has is how a block is made to survive more.
//
// The tier knows what it has without IO: Find and List never wait for a disk. What Find
// tells may be gone when Load comes: a budget, or a flipped bit, is then a miss.
//
// Threads: every method from any thread; Store, Load and Delete may block on IO.
// tests/storage/tier_contract.h is the suite that every tier passes.
class Tier {
 public:
  struct Record {
    std::string_view key;
    uint64_t generation = 0;
    const BlockInfo* info = nullptr;
    std::span<const std::byte> payload;  // info->size_bytes of them
  };
  struct Read {
    std::string_view key;
    uint64_t generation = 0;
    std::span<std::byte> payload;  // size must equal the stored size
    // Set by Load: OK; NotFound if this generation is not here; DataLoss if the bytes do
    // not match their checksum (the tier has dropped the block by then); Unavailable if
    // the disk did not answer.
    absl::Status status;
  };
  struct Tombstone {
    std::string_view key;
    uint64_t generation = 0;  // hides this one and all before it
  };
  struct Stats {
    uint64_t blocks = 0;
    uint64_t block_bytes = 0;     // payloads that Find can see
    uint64_t used_bytes = 0;      // on disk, with what is dead but not yet dropped
    uint64_t capacity_bytes = 0;  // the budget
    uint64_t index_bytes = 0;     // memory that the tier's own index takes
    // Since the start.
    uint64_t dropped_blocks = 0;  // to keep the budget
    uint64_t dropped_bytes = 0;
    uint64_t corrupt_blocks = 0;
    uint64_t written_bytes = 0;  // to the disk, headers and rewrites too
    // Found by the last recovery.
    uint64_t recovered_blocks = 0;
    uint64_t lost_blocks = 0;  // acknowledged as durable once, and not there any more
  };

  virtual ~Tier() = default;

  // Stores copies, all or none; makes room by dropping the coldest blocks. With kProcess
  // or kPower, OK means that they survive that. ResourceExhausted if the disk is full or
  // the batch exceeds the budget; Unavailable if the disk fails.
  virtual absl::Status Store(std::span<const Record> batch, Durability durability) = 0;

  // A block that was stored without a promise has been promised to survive: from OK on its
  // loss counts. One that is gone is fine. Errors as Store.
  virtual absl::Status Promise(std::string_view /*key*/, uint64_t /*generation*/) {
    return absl::OkStatus();
  }

  // Reads blocks, deeply, and verifies each. Counts as a use of each.
  virtual void Load(std::span<Read> batch) = 0;

  // Hides blocks for good: on OK they do not come back after a kill of the process
  // either, not even where a Store of them is under way. Keys without a block are fine.
  virtual absl::Status Delete(std::span<const Tombstone> batch) = 0;

  // The newest stored block of `key`.
  virtual std::optional<TierBlock> Find(std::string_view key) const = 0;

  // Stored keys with `prefix`, greater than `after` (empty: from the start), in byte
  // order, at most `limit`.
  struct Listed {
    std::string key;
    TierBlock block;
  };
  virtual std::vector<Listed> List(std::string_view prefix, std::string_view after,
                                   size_t limit) const = 0;

  // Of every generation that was ever stored or deleted here; 0 if none. The store goes
  // on beyond it.
  virtual uint64_t generation_max() const = 0;

  virtual Stats stats() const = 0;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_TIER_H_
