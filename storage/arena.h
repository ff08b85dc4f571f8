#ifndef KVASIR_STORAGE_ARENA_H_
#define KVASIR_STORAGE_ARENA_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "base/region.h"

namespace kvasir {

// Carves a region into extents. Knows nothing of keys, leases or networks.
// Thread-safe. At least 95 % of the region is usable under any mix of sizes from
// 64 KiB to 64 MiB with churn (tests/bench/arena_bench shows it).
class Arena {
 public:
  struct Usage {
    uint64_t capacity_bytes = 0;
    uint64_t allocated_bytes = 0;  // rounded up to the allocation unit
    uint64_t largest_free_bytes = 0;
  };

  explicit Arena(Region* region);  // Not owned; must outlive the arena.
  ~Arena();

  // Returns an extent of `size_bytes`. ResourceExhausted if no free run fits;
  // InvalidArgument if the size is 0 or above kMaxBlockBytes.
  absl::StatusOr<Extent> Allocate(uint64_t size_bytes);
  // REQUIRES: `extent` came from Allocate and has not been freed.
  void Free(const Extent& extent);
  // What Allocate takes for `size_bytes`: rounded up to the allocation unit.
  static uint64_t AllocatedBytes(uint64_t size_bytes);
  Usage usage() const;
  Region* region() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_ARENA_H_
