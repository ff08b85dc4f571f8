#include "service/enum_codec.h"

#include "base/check.h"

namespace kvasir {

v1::Residency ToProto(Residency residency) {
  switch (residency) {
    case Residency::kAbsent:
      return v1::RESIDENCY_ABSENT;
    case Residency::kReserved:
      return v1::RESIDENCY_RESERVED;
    case Residency::kMemory:
      return v1::RESIDENCY_MEMORY;
    case Residency::kBoth:
      return v1::RESIDENCY_BOTH;
    case Residency::kDisk:
      return v1::RESIDENCY_DISK;
  }
  KV_CHECK(false);
}

v1::TransportKind ToProto(TransportKind kind) {
  switch (kind) {
    case TransportKind::kRdma:
      return v1::TRANSPORT_KIND_RDMA;
    case TransportKind::kShm:
      return v1::TRANSPORT_KIND_SHM;
    case TransportKind::kTcp:
      return v1::TRANSPORT_KIND_TCP;
  }
  KV_CHECK(false);
}

v1::KeyOutcome ToProto(TieredStore::Removed removed) {
  switch (removed) {
    case TieredStore::Removed::kAbsent:
      return v1::KEY_OUTCOME_MISS;
    case TieredStore::Removed::kRemoved:
      return v1::KEY_OUTCOME_OK;
    case TieredStore::Removed::kPending:
      return v1::KEY_OUTCOME_PENDING;
    case TieredStore::Removed::kFailed:
      return v1::KEY_OUTCOME_REFUSED;
  }
  KV_CHECK(false);
}

}  // namespace kvasir
