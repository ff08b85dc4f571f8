#ifndef KVASIR_CLIENT_ADMIN_CLIENT_H_
#define KVASIR_CLIENT_ADMIN_CLIENT_H_

#include <chrono>
#include <string>

#include "absl/status/statusor.h"
#include "kvasir/v1/admin.pb.h"

// AdminService of one node without gRPC's types: what the CLI and other tools speak.
//
// Every method is one call with a deadline of its own. Errors are the server's, with its
// reason (base/status_reason.h); Unavailable if the node cannot be reached,
// DeadlineExceeded if it does not answer in time.
// Threads: thread-safe.
namespace kvasir {

struct AdminOptions {
  std::string address;                       // HOST:PORT, [IPV6]:PORT or unix:PATH
  std::chrono::milliseconds timeout{5'000};  // of each call
};

class AdminClient {
 public:
  virtual ~AdminClient() = default;
  virtual absl::StatusOr<v1::PingResponse> Ping(const v1::PingRequest& request) = 0;
  virtual absl::StatusOr<v1::ExistsResponse> Exists(const v1::ExistsRequest& request) = 0;
  virtual absl::StatusOr<v1::ListResponse> List(const v1::ListRequest& request) = 0;
  virtual absl::StatusOr<v1::StatResponse> Stat(const v1::StatRequest& request) = 0;
  virtual absl::StatusOr<v1::PinResponse> Pin(const v1::PinRequest& request) = 0;
  virtual absl::StatusOr<v1::UnpinResponse> Unpin(const v1::UnpinRequest& request) = 0;
  virtual absl::StatusOr<v1::ListPinsResponse> ListPins(
      const v1::ListPinsRequest& request) = 0;
  virtual absl::StatusOr<v1::RemoveKeysResponse> Remove(
      const v1::RemoveKeysRequest& request) = 0;
  virtual absl::StatusOr<v1::ClearResponse> Clear(const v1::ClearRequest& request) = 0;
  virtual absl::StatusOr<v1::GetNodeInfoResponse> GetNodeInfo(
      const v1::GetNodeInfoRequest& request) = 0;
  virtual absl::StatusOr<v1::GetStatsResponse> GetStats(
      const v1::GetStatsRequest& request) = 0;
  virtual absl::StatusOr<v1::DrainResponse> Drain(const v1::DrainRequest& request) = 0;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_ADMIN_CLIENT_H_
