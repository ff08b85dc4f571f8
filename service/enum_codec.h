#ifndef KVASIR_SERVICE_ENUM_CODEC_H_
#define KVASIR_SERVICE_ENUM_CODEC_H_

#include "kvasir/v1/common.pb.h"
#include "rdma/transport.h"
#include "storage/block.h"

namespace kvasir {

v1::Residency ToProto(Residency residency);
v1::TransportKind ToProto(TransportKind kind);

}  // namespace kvasir

#endif  // KVASIR_SERVICE_ENUM_CODEC_H_
