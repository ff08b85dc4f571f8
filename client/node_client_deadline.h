#ifndef KVASIR_CLIENT_NODE_CLIENT_DEADLINE_H_
#define KVASIR_CLIENT_NODE_CLIENT_DEADLINE_H_

#include <grpc/support/time.h>

#include "base/clock.h"

namespace kvasir {

// A deadline of ours on gRPC's monotonic clock.
gpr_timespec ToGrpcDeadline(const Clock& clock, Instant deadline);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_NODE_CLIENT_DEADLINE_H_
