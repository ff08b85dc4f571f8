#ifndef KVASIR_RDMA_VERBS_MEMORY_INDEX_H_
#define KVASIR_RDMA_VERBS_MEMORY_INDEX_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "rdma/verbs_wire.h"

namespace kvasir {

// The local keys of one registered range, by rail.
using VerbsLocalKeys = std::array<uint32_t, kVerbsRailsMax>;

// Which memory of a client is registered, and under which keys. Ranges may overlap.
// Thread-safe.
class VerbsMemoryIndex {
 public:
  void Add(std::span<const std::byte> range, const VerbsLocalKeys& keys)
      ABSL_LOCKS_EXCLUDED(mu_);
  // REQUIRES: `range` was added with these keys and not removed since.
  void Remove(std::span<const std::byte> range, const VerbsLocalKeys& keys)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The keys of a range that holds all of `slice`. Looks at no more than
  // kRangesLookedAt of those that begin before it.
  std::optional<VerbsLocalKeys> Find(std::span<const std::byte> slice) const
      ABSL_LOCKS_EXCLUDED(mu_);
  static constexpr int kRangesLookedAt = 16;

 private:
  struct Range {
    size_t size_bytes = 0;
    VerbsLocalKeys keys{};
  };
  mutable absl::Mutex mu_;
  std::multimap<const std::byte*, Range> ranges_ ABSL_GUARDED_BY(mu_);  // by start
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_MEMORY_INDEX_H_
