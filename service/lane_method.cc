#include "service/lane_method.h"

#include "proto/codec.h"

namespace kvasir {

Method MethodOf(const v1::LaneRequest& request) {
  switch (request.request_case()) {
    case v1::LaneRequest::kOpen:
      return Method::kOpenLane;
    case v1::LaneRequest::kLookup:
      return Method::kLookup;
    case v1::LaneRequest::kGrantReads:
      return Method::kGrantReads;
    case v1::LaneRequest::kGrantWrites:
      return Method::kGrantWrites;
    case v1::LaneRequest::kCommit:
      return Method::kCommit;
    case v1::LaneRequest::kAbort:
      return Method::kAbort;
    case v1::LaneRequest::kRemove:
      return Method::kRemove;
    case v1::LaneRequest::kUnpinOwner:
      return Method::kUnpinOwner;
    case v1::LaneRequest::kRelease:
    case v1::LaneRequest::REQUEST_NOT_SET:  // carries releases only
      return Method::kRelease;
  }
  return Method::kRelease;
}

absl::StatusCode CodeOf(const v1::LaneResponse& response) {
  return response.has_error() ? ErrorCodeFromWire(response.error().code())
                              : absl::StatusCode::kOk;
}

}  // namespace kvasir
