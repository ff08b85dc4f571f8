#ifndef KVASIR_SERVICE_ADMIN_H_
#define KVASIR_SERVICE_ADMIN_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvasir/v1/admin.pb.h"
#include "service/clearing.h"
#include "service/key_removal.h"
#include "service/node_view.h"

namespace kvasir {

// What AdminService answers, without gRPC. For people: a request that breaks a limit is
// refused as a whole, with the place of the first key that does (InvalidArgument,
// LIMIT_EXCEEDED or BAD_REQUEST).
//
// Threads: every method from any thread.
class Admin {
 public:
  // `view` is not owned and must outlive the object. `begin_drain` runs, perhaps more
  // than once and from any thread, when a caller asks for a drain.
  Admin(const NodeView* view, std::function<void()> begin_drain);

  absl::Status Ping(const v1::PingRequest& request, v1::PingResponse* response) const;
  absl::Status Exists(const v1::ExistsRequest& request,
                      v1::ExistsResponse* response) const;
  absl::Status List(const v1::ListRequest& request, v1::ListResponse* response) const;
  // NotFound if the key is not stored.
  absl::Status Stat(const v1::StatRequest& request, v1::StatResponse* response) const;
  // Unavailable (DRAINING) in a drain; ResourceExhausted beyond kMaxPins: keys before
  // it are pinned.
  absl::Status Pin(const v1::PinRequest& request, v1::PinResponse* response) const;
  absl::Status Unpin(const v1::UnpinRequest& request, v1::UnpinResponse* response) const;
  absl::Status ListPins(const v1::ListPinsRequest& request,
                        v1::ListPinsResponse* response) const;
  // To be run by the caller.
  absl::StatusOr<std::unique_ptr<KeyRemoval>> RemoveKeys(
      const v1::RemoveKeysRequest& request, KeyRemoval::Done done) const;
  // To be run by the caller; takes `options` but for the prefix.
  absl::StatusOr<std::unique_ptr<Clearing>> Clear(const v1::ClearRequest& request,
                                                  Clearing::Options options) const;
  absl::Status GetNodeInfo(const v1::GetNodeInfoRequest& request,
                           v1::GetNodeInfoResponse* response) const;
  absl::Status GetStats(const v1::GetStatsRequest& request,
                        v1::GetStatsResponse* response) const;
  absl::Status Drain(const v1::DrainRequest& request, v1::DrainResponse* response) const;

 private:
  const NodeView* const view_;
  const std::function<void()> begin_drain_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_ADMIN_H_
