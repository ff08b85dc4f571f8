#ifndef KVASIR_SERVICE_LANE_METHOD_H_
#define KVASIR_SERVICE_LANE_METHOD_H_

#include "absl/status/status.h"
#include "kvasir/v1/kv.pb.h"
#include "service/request_metrics.h"

namespace kvasir {

// As what a request on a lane is counted, whichever way it came.
Method MethodOf(const v1::LaneRequest& request);
// How it ended.
absl::StatusCode CodeOf(const v1::LaneResponse& response);

}  // namespace kvasir

#endif  // KVASIR_SERVICE_LANE_METHOD_H_
