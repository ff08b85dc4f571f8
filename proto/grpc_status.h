#ifndef KVASIR_PROTO_GRPC_STATUS_H_
#define KVASIR_PROTO_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

// Errors of gRPC calls: code and message, and in grpc-status-details-bin a
// google.rpc.Status with ErrorInfo{reason, domain "kvasir"} and, where a retry may help,
// RetryInfo.
//
// Threads: pure functions, from any thread.
namespace kvasir {

inline constexpr char kErrorDomain[] = "kvasir";

grpc::Status ToGrpcStatus(const absl::Status& status);

// The reverse. Details of another domain, or that do not parse, are dropped; the code
// and the message stay.
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace kvasir

#endif  // KVASIR_PROTO_GRPC_STATUS_H_
