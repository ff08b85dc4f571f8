#ifndef KVASIR_CLIENT_REGISTERED_MEMORY_H_
#define KVASIR_CLIENT_REGISTERED_MEMORY_H_

#include <cstddef>
#include <map>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvasir {

// Which memory is registered now. Ranges may overlap. Thread-safe.
class RegisteredMemory {
 public:
  void Add(std::span<const std::byte> range) ABSL_LOCKS_EXCLUDED(mu_);
  // REQUIRES: `range` was added and not removed since.
  void Remove(std::span<const std::byte> range) ABSL_LOCKS_EXCLUDED(mu_);

  // Whether one registered range holds all of `slice`. May say no where more than
  // kRangesLookedAt overlapping ranges begin before it: that costs a copy, no more.
  bool Covers(std::span<const std::byte> slice) const ABSL_LOCKS_EXCLUDED(mu_);
  static constexpr int kRangesLookedAt = 16;

 private:
  mutable absl::Mutex mu_;
  std::multimap<const std::byte*, size_t> ranges_ ABSL_GUARDED_BY(mu_);  // start -> size
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_REGISTERED_MEMORY_H_
