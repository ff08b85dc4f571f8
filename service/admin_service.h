#ifndef KVASIR_SERVICE_ADMIN_SERVICE_H_
#define KVASIR_SERVICE_ADMIN_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "base/clock.h"
#include "kvasir/v1/admin.grpc.pb.h"
#include "service/admin.h"
#include "service/request_metrics.h"

namespace kvasir {

// Feeds Admin from gRPC. Calls are answered on the thread that gRPC calls them on, but
// Clear, which is answered once the disk has deleted what it removes, and heeds its
// cancellation between pages.
class AdminService final : public v1::AdminService::CallbackService {
 public:
  // None owned; all must outlive the service.
  AdminService(const Admin* admin, RequestMetrics* metrics, const Clock* clock);

  grpc::ServerUnaryReactor* Ping(grpc::CallbackServerContext* context,
                                 const v1::PingRequest* request,
                                 v1::PingResponse* response) override;
  grpc::ServerUnaryReactor* Exists(grpc::CallbackServerContext* context,
                                   const v1::ExistsRequest* request,
                                   v1::ExistsResponse* response) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const v1::ListRequest* request,
                                 v1::ListResponse* response) override;
  grpc::ServerUnaryReactor* Stat(grpc::CallbackServerContext* context,
                                 const v1::StatRequest* request,
                                 v1::StatResponse* response) override;
  grpc::ServerUnaryReactor* Pin(grpc::CallbackServerContext* context,
                                const v1::PinRequest* request,
                                v1::PinResponse* response) override;
  grpc::ServerUnaryReactor* Unpin(grpc::CallbackServerContext* context,
                                  const v1::UnpinRequest* request,
                                  v1::UnpinResponse* response) override;
  grpc::ServerUnaryReactor* ListPins(grpc::CallbackServerContext* context,
                                     const v1::ListPinsRequest* request,
                                     v1::ListPinsResponse* response) override;
  grpc::ServerUnaryReactor* RemoveKeys(grpc::CallbackServerContext* context,
                                       const v1::RemoveKeysRequest* request,
                                       v1::RemoveKeysResponse* response) override;
  grpc::ServerUnaryReactor* Clear(grpc::CallbackServerContext* context,
                                  const v1::ClearRequest* request,
                                  v1::ClearResponse* response) override;
  grpc::ServerUnaryReactor* GetNodeInfo(grpc::CallbackServerContext* context,
                                        const v1::GetNodeInfoRequest* request,
                                        v1::GetNodeInfoResponse* response) override;
  grpc::ServerUnaryReactor* GetStats(grpc::CallbackServerContext* context,
                                     const v1::GetStatsRequest* request,
                                     v1::GetStatsResponse* response) override;
  grpc::ServerUnaryReactor* Drain(grpc::CallbackServerContext* context,
                                  const v1::DrainRequest* request,
                                  v1::DrainResponse* response) override;

 private:
  // Finishes the call with what `call` returns.
  template <typename Call>
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, Call call);

  const Admin* const admin_;
  RequestMetrics* const metrics_;
  const Clock* const clock_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_ADMIN_SERVICE_H_
