#include "rdma/verbs_memory_index.h"

#include <algorithm>

#include "base/check.h"

namespace kvasir {

void VerbsMemoryIndex::Add(std::span<const std::byte> range, const VerbsLocalKeys& keys) {
  absl::MutexLock lock(&mu_);
  ranges_.emplace(range.data(), Range{.size_bytes = range.size(), .keys = keys});
}

void VerbsMemoryIndex::Remove(std::span<const std::byte> range, const VerbsLocalKeys& keys) {
  absl::MutexLock lock(&mu_);
  const auto [first, last] = ranges_.equal_range(range.data());
  const auto found = std::find_if(first, last, [&](const auto& entry) {
    return entry.second.size_bytes == range.size() && entry.second.keys == keys;
  });
  KV_CHECK(found != last);
  ranges_.erase(found);
}

std::optional<VerbsLocalKeys> VerbsMemoryIndex::Find(
    std::span<const std::byte> slice) const {
  absl::ReaderMutexLock lock(&mu_);
  auto next = ranges_.upper_bound(slice.data());
  for (int looked = 0; looked < kRangesLookedAt && next != ranges_.begin(); ++looked) {
    --next;
    const size_t before = static_cast<size_t>(slice.data() - next->first);
    if (before <= next->second.size_bytes &&
        slice.size() <= next->second.size_bytes - before) {
      return next->second.keys;
    }
  }
  return std::nullopt;
}

}  // namespace kvasir
