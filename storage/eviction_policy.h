#ifndef KVASIR_STORAGE_EVICTION_POLICY_H_
#define KVASIR_STORAGE_EVICTION_POLICY_H_

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace kvasir {

enum class EvictionPolicyKind : uint8_t { kS3Fifo, kSieve, kLru, kLfu, kFifo };

// "s3fifo", "sieve", "lru", "lfu", "fifo". InvalidArgument names the text and these.
absl::StatusOr<EvictionPolicyKind> ParseEvictionPolicy(std::string_view text);
std::string_view EvictionPolicyName(EvictionPolicyKind kind);

}  // namespace kvasir

#endif  // KVASIR_STORAGE_EVICTION_POLICY_H_
