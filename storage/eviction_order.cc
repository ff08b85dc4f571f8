#include "storage/eviction_order.h"

#include "base/check.h"
#include "storage/list_orders.h"
#include "storage/s3fifo_order.h"

namespace kvasir {
namespace {

// The smallest block to design for: with smaller ones the ghosts reach less far back.
constexpr uint64_t kTypicalBlockBytes = 64 * kKiB;

}  // namespace

std::unique_ptr<EvictionOrder> EvictionOrder::Make(EvictionPolicyKind kind,
                                                   uint64_t capacity_bytes) {
  switch (kind) {
    case EvictionPolicyKind::kS3Fifo:
      return std::make_unique<S3FifoOrder>(capacity_bytes / kTypicalBlockBytes);
    case EvictionPolicyKind::kSieve:
      return std::make_unique<SieveOrder>();
    case EvictionPolicyKind::kLru:
      return std::make_unique<LruOrder>();
    case EvictionPolicyKind::kLfu:
      return std::make_unique<LfuOrder>();
    case EvictionPolicyKind::kFifo:
      return std::make_unique<FifoOrder>();
  }
  KV_CHECK(false);
}

}  // namespace kvasir
