#include "storage/eviction_policy.h"

#include <fmt/core.h>

#include <array>

#include "base/check.h"

namespace kvasir {
namespace {

struct Named {
  EvictionPolicyKind kind;
  std::string_view name;
};
constexpr std::array<Named, 5> kNames = {{{EvictionPolicyKind::kS3Fifo, "s3fifo"},
                                          {EvictionPolicyKind::kSieve, "sieve"},
                                          {EvictionPolicyKind::kLru, "lru"},
                                          {EvictionPolicyKind::kLfu, "lfu"},
                                          {EvictionPolicyKind::kFifo, "fifo"}}};

}  // namespace

absl::StatusOr<EvictionPolicyKind> ParseEvictionPolicy(std::string_view text) {
  for (const Named& named : kNames) {
    if (named.name == text) return named.kind;
  }
  return absl::InvalidArgumentError(fmt::format(
      "parse eviction policy: \"{}\" is none of s3fifo, sieve, lru, lfu, fifo", text));
}

std::string_view EvictionPolicyName(EvictionPolicyKind kind) {
  for (const Named& named : kNames) {
    if (named.kind == kind) return named.name;
  }
  KV_CHECK(false);
}

}  // namespace kvasir
