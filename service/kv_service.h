#ifndef KVASIR_SERVICE_KV_SERVICE_H_
#define KVASIR_SERVICE_KV_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "base/clock.h"
#include "kvasir/v1/kv.grpc.pb.h"
#include "service/kv_core.h"
#include "service/request_metrics.h"

namespace kvasir {

// v1::KvService::CallbackService, but for Lane, which gets and gives bytes.
template <typename Base>
using WithHotCalls =
    v1::KvService::WithCallbackMethod_Lookup<v1::KvService::WithCallbackMethod_GrantReads<
        v1::KvService::WithCallbackMethod_GrantWrites<
            v1::KvService::WithCallbackMethod_Commit<
                v1::KvService::WithCallbackMethod_Abort<
                    v1::KvService::WithCallbackMethod_Release<
                        v1::KvService::WithCallbackMethod_Remove<
                            v1::KvService::WithCallbackMethod_UnpinOwner<Base>>>>>>>>;
using KvCallbackService = v1::KvService::WithCallbackMethod_OpenSession<
    v1::KvService::WithCallbackMethod_CloseSession<
        v1::KvService::WithCallbackMethod_Heartbeat<
            v1::KvService::WithRawCallbackMethod_Lane<
                WithHotCalls<v1::KvService::Service>>>>>;

// Feeds KvCore from gRPC. Every call is answered on the thread that gRPC calls it on:
// the core neither waits nor does IO.
class KvService final : public KvCallbackService {
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
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Lane(
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
