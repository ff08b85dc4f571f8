#ifndef KVASIR_STORAGE_GHOST_TABLE_H_
#define KVASIR_STORAGE_GHOST_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace kvasir {

// Remembers which keys were evicted lately: fingerprints with the time of their eviction,
// in buckets of one cache line, of fixed number. A full bucket forgets its oldest. A
// false hit (about entries / 2^32) only misjudges one block. Not thread-safe.
class GhostTable {
 public:
  // 8 B an entry; `entries_max` is rounded up to a power of two.
  explicit GhostTable(uint64_t entries_max);

  void Add(std::string_view key);
  // True if `key` was among the last `window` that were added; forgets it.
  bool Take(std::string_view key, uint64_t window);
  uint64_t memory_bytes() const { return buckets_.size() * sizeof(Bucket); }

 private:
  struct Entry {
    uint32_t fingerprint = 0;
    uint32_t time = 0;  // 0: empty
  };
  using Bucket = std::array<Entry, 8>;
  Bucket& BucketOf(uint64_t hash);

  std::vector<Bucket> buckets_;
  uint32_t now_ = 0;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_GHOST_TABLE_H_
