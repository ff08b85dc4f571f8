#include "client/registered_memory.h"

#include <iterator>

#include "base/check.h"

namespace kvasir {

void RegisteredMemory::Add(std::span<const std::byte> range) {
  absl::MutexLock lock(&mu_);
  ranges_.emplace(range.data(), range.size());
}

void RegisteredMemory::Remove(std::span<const std::byte> range) {
  absl::MutexLock lock(&mu_);
  auto [at, end] = ranges_.equal_range(range.data());
  while (at != end && at->second != range.size()) ++at;
  KV_CHECK(at != end);
  ranges_.erase(at);
}

bool RegisteredMemory::Covers(std::span<const std::byte> slice) const {
  absl::ReaderMutexLock lock(&mu_);
  auto at = ranges_.upper_bound(slice.data());
  for (int looked = 0; looked < kRangesLookedAt && at != ranges_.begin(); ++looked) {
    --at;
    // Begins at or before the slice, so the difference is its offset in the range.
    const auto offset = static_cast<size_t>(slice.data() - at->first);
    if (offset <= at->second && slice.size() <= at->second - offset) return true;
  }
  return false;
}

}  // namespace kvasir
