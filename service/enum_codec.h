#ifndef KVASIR_SERVICE_ENUM_CODEC_H_
#define KVASIR_SERVICE_ENUM_CODEC_H_

#include "kvasir/v1/common.pb.h"
#include "rdma/transport.h"
#include "storage/block.h"
#include "storage/tiered_store.h"

namespace kvasir {

v1::Residency ToProto(Residency residency);
v1::TransportKind ToProto(TransportKind kind);
v1::KeyOutcome ToProto(TieredStore::Removed removed);

}  // namespace kvasir

#endif  // KVASIR_SERVICE_ENUM_CODEC_H_
