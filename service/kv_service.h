#ifndef KVASIR_SERVICE_KV_SERVICE_H_
#define KVASIR_SERVICE_KV_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "base/clock.h"
#include "kvasir/v1/kv.grpc.pb.h"
#include "service/kv_core.h"
#include "service/request_metrics.h"

namespace kvasir {

// Feeds KvCore from gRPC. Every call is answered on the thread that gRPC calls it on:
// the core neither waits nor does IO.
class KvService final : public v1::KvService::CallbackService {
 public:
  // None owned; all must outlive the service.
  KvService(KvCore* core, RequestMetrics* metrics, const Clock* clock);

  grpc::ServerUnaryReactor* OpenSession(grpc::CallbackServerContext* context,
                                        const v1::OpenSessionRequest* request,
                                        v1::OpenSessionResponse* response) override;
  grpc::ServerUnaryReactor* CloseSession(grpc::CallbackServerContext* context,
                                         const v1::CloseSessionRequest* request,
                                         v1::CloseSessionResponse* response) override;
  grpc::ServerBidiReactor<v1::HeartbeatRequest, v1::HeartbeatResponse>* Heartbeat(
      grpc::CallbackServerContext* context) override;
  grpc::ServerBidiReactor<v1::LaneRequest, v1::LaneResponse>* Lane(
      grpc::CallbackServerContext* context) override;

  grpc::ServerUnaryReactor* Lookup(grpc::CallbackServerContext* context,
                                   const v1::LookupRequest* request,
                                   v1::LookupResponse* response) override;
  grpc::ServerUnaryReactor* GrantReads(grpc::CallbackServerContext* context,
                                       const v1::GrantReadsRequest* request,
                                       v1::GrantReadsResponse* response) override;
  grpc::ServerUnaryReactor* GrantWrites(grpc::CallbackServerContext* context,
                                        const v1::GrantWritesRequest* request,
                                        v1::GrantWritesResponse* response) override;
  grpc::ServerUnaryReactor* Commit(grpc::CallbackServerContext* context,
                                   const v1::CommitRequest* request,
                                   v1::CommitResponse* response) override;
  grpc::ServerUnaryReactor* Abort(grpc::CallbackServerContext* context,
                                  const v1::AbortRequest* request,
                                  v1::AbortResponse* response) override;
  grpc::ServerUnaryReactor* Release(grpc::CallbackServerContext* context,
                                    const v1::ReleaseRequest* request,
                                    v1::ReleaseResponse* response) override;
  grpc::ServerUnaryReactor* Remove(grpc::CallbackServerContext* context,
                                   const v1::RemoveRequest* request,
                                   v1::RemoveResponse* response) override;
  grpc::ServerUnaryReactor* UnpinOwner(grpc::CallbackServerContext* context,
                                       const v1::UnpinOwnerRequest* request,
                                       v1::UnpinOwnerResponse* response) override;

 private:
  // Finishes the call with what `call` returns, counted as `method`.
  template <typename Call>
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, Method method,
                                   Call call);
  // The same for a request that names a session, which `call` gets.
  template <typename Request, typename Call>
  grpc::ServerUnaryReactor* AnswerInSession(grpc::CallbackServerContext* context,
                                            Method method, const Request& request,
                                            Call call);

  KvCore* const core_;
  RequestMetrics* const metrics_;
  const Clock* const clock_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_KV_SERVICE_H_
