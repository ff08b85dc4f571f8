#ifndef KVASIR_CLIENT_NODE_CLIENT_STATUS_H_
#define KVASIR_CLIENT_NODE_CLIENT_STATUS_H_

#include <grpcpp/support/status.h>
#include <grpcpp/support/time.h>

#include "absl/status/status.h"
#include "base/clock.h"
#include "kvasir/v1/kv.pb.h"

namespace kvasir {

// gRPC's status as ours, with the reason and the retry delay of google.rpc's error
// details, where there are any.
absl::Status FromGrpc(const grpc::Status& status);

// The status that a LaneError stands for.
absl::Status FromLaneError(const v1::LaneError& error);

// A deadline of ours on gRPC's clock.
gpr_timespec ToGrpcDeadline(const Clock& clock, Instant deadline);

}  // namespace kvasir


#endif  // KVASIR_CLIENT_NODE_CLIENT_STATUS_H_
