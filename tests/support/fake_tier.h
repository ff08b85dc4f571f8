#ifndef KVASIR_TESTS_SUPPORT_FAKE_TIER_H_
#define KVASIR_TESTS_SUPPORT_FAKE_TIER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "storage/tier.h"

namespace kvasir {

// A Tier in memory with the promises of a real one and no more: after a crash, what was
// stored with less than the crash spares may be lost, and then what it had replaced is
// back, unless it was deleted. Drops the blocks that were used least lately.
//
// Thread-safe. Copies under its lock: it is for tests.
// Bounds: `capacity_bytes` of visible payload.
class FakeTier final : public Tier {
 public:
  explicit FakeTier(uint64_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  absl::Status Store(std::span<const Record> batch, Durability durability) override
      ABSL_LOCKS_EXCLUDED(mu_);
  void Load(std::span<Read> batch) override ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Delete(std::span<const Tombstone> batch) override ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<TierBlock> Find(std::string_view key) const override
      ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<Listed> List(std::string_view prefix, std::string_view after,
                           size_t limit) const override ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t generation_max() const override ABSL_LOCKS_EXCLUDED(mu_);
  Stats stats() const override ABSL_LOCKS_EXCLUDED(mu_);

  struct CrashOptions {
    // What was stored with this or more is still there. kNone: a clean stop.
    Durability survives = Durability::kProcess;
    uint64_t seed = 0;  // tosses for each block that may be lost
  };
  // Dies and recovers. Nothing else may be under way.
  void Crash(const CrashOptions& options) ABSL_LOCKS_EXCLUDED(mu_);

  // Flips one bit of the key's newest block, on its "disk". False if it has none.
  bool FlipBit(std::string_view key) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Version {
    BlockInfo info;
    std::vector<std::byte> payload;
    Durability durability = Durability::kNone;
    uint64_t use = 0;  // greater is later
  };
  struct Place {
    std::map<uint64_t, Version> versions;  // by generation; the last one is visible
    uint64_t deleted_generation = 0;       // hides this one and all before it
  };
  using Places = std::map<std::string, Place, std::less<>>;

  void StoreOneLocked(const Record& record, Durability durability)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status LoadOneLocked(const Read& read) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ShowLocked(Places::iterator place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void HideLocked(Places::iterator place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropColdestLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const uint64_t capacity_bytes_;
  mutable absl::Mutex mu_;
  Places places_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, Places::iterator> by_use_ ABSL_GUARDED_BY(mu_);  // visible ones
  uint64_t next_use_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t generation_max_ ABSL_GUARDED_BY(mu_) = 0;
  Stats stats_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_SUPPORT_FAKE_TIER_H_
