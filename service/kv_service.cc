#include "service/kv_service.h"

#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/ids.h"
#include "base/status_reason.h"
#include "proto/grpc_status.h"
#include "service/heartbeat_stream.h"
#include "service/lane_stream.h"

namespace kvasir {

KvService::KvService(KvCore* core, RequestMetrics* metrics, const Clock* clock)
    : core_(core), metrics_(metrics), clock_(clock) {}

template <typename Call>
grpc::ServerUnaryReactor* KvService::Answer(grpc::CallbackServerContext* context,
                                            Method method, Call call) {
  const Instant begin = clock_->Now();
  const absl::Status status = call();
  metrics_->Record(method, clock_->Now() - begin, status.code());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

template <typename Request, typename Call>
grpc::ServerUnaryReactor* KvService::AnswerInSession(grpc::CallbackServerContext* context,
                                                     Method method,
                                                     const Request& request, Call call) {
  return Answer(context, method, [&]() -> absl::Status {
    const absl::StatusOr<SessionId> session = SessionId::FromBytes(request.session());
    if (!session.ok()) return WithReason(session.status(), kReasonBadRequest);
    return call(*session);
  });
}

grpc::ServerUnaryReactor* KvService::OpenSession(grpc::CallbackServerContext* context,
                                                 const v1::OpenSessionRequest* request,
                                                 v1::OpenSessionResponse* response) {
  return Answer(context, Method::kOpenSession,
                [&] { return core_->OpenSession(*request, response); });
}

grpc::ServerUnaryReactor* KvService::CloseSession(grpc::CallbackServerContext* context,
                                                  const v1::CloseSessionRequest* request,
                                                  v1::CloseSessionResponse* response) {
  return AnswerInSession(context, Method::kCloseSession, *request,
                         [&](SessionId session) {
                           core_->CloseSession(session);
                           return absl::OkStatus();
                         });
}

grpc::ServerBidiReactor<v1::HeartbeatRequest, v1::HeartbeatResponse>*
KvService::Heartbeat(grpc::CallbackServerContext* context) {
  return new HeartbeatStream(core_, metrics_, clock_);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* KvService::Lane(
    grpc::CallbackServerContext* context) {
  return new LaneStream(core_, metrics_, clock_, context);
}

grpc::ServerUnaryReactor* KvService::Lookup(grpc::CallbackServerContext* context,
                                            const v1::LookupRequest* request,
                                            v1::LookupResponse* response) {
  return AnswerInSession(context, Method::kLookup, *request, [&](SessionId session) {
    return core_->Lookup(session, *request, response);
  });
}

grpc::ServerUnaryReactor* KvService::GrantReads(grpc::CallbackServerContext* context,
                                                const v1::GrantReadsRequest* request,
                                                v1::GrantReadsResponse* response) {
  absl::AnyInvocable<void() &&> after_reply;
  grpc::ServerUnaryReactor* const reactor =
      AnswerInSession(context, Method::kGrantReads, *request, [&](SessionId session) {
        return core_->GrantReads(session, LaneId{request->lane()}, *request, response,
                                 &after_reply);
      });
  if (after_reply) std::move(after_reply)();
  return reactor;
}

grpc::ServerUnaryReactor* KvService::GrantWrites(grpc::CallbackServerContext* context,
                                                 const v1::GrantWritesRequest* request,
                                                 v1::GrantWritesResponse* response) {
  return AnswerInSession(context, Method::kGrantWrites, *request, [&](SessionId session) {
    return core_->GrantWrites(session, LaneId{request->lane()}, *request, response);
  });
}

grpc::ServerUnaryReactor* KvService::Commit(grpc::CallbackServerContext* context,
                                            const v1::CommitRequest* request,
                                            v1::CommitResponse* response) {
  return AnswerInSession(context, Method::kCommit, *request, [&](SessionId session) {
    return core_->Commit(session, LaneId{request->lane()}, *request, response);
  });
}

grpc::ServerUnaryReactor* KvService::Abort(grpc::CallbackServerContext* context,
                                           const v1::AbortRequest* request,
                                           v1::AbortResponse* response) {
  return AnswerInSession(context, Method::kAbort, *request, [&](SessionId session) {
    return core_->Abort(session, LaneId{request->lane()}, *request, response);
  });
}

grpc::ServerUnaryReactor* KvService::Release(grpc::CallbackServerContext* context,
                                             const v1::ReleaseRequest* request,
                                             v1::ReleaseResponse* response) {
  return AnswerInSession(context, Method::kRelease, *request, [&](SessionId session) {
    return core_->Release(session, *request, response);
  });
}

grpc::ServerUnaryReactor* KvService::Remove(grpc::CallbackServerContext* context,
                                            const v1::RemoveRequest* request,
                                            v1::RemoveResponse* response) {
  return AnswerInSession(context, Method::kRemove, *request, [&](SessionId session) {
    return core_->Remove(session, *request, response);
  });
}

grpc::ServerUnaryReactor* KvService::UnpinOwner(grpc::CallbackServerContext* context,
                                                const v1::UnpinOwnerRequest* request,
                                                v1::UnpinOwnerResponse* response) {
  return AnswerInSession(context, Method::kUnpinOwner, *request, [&](SessionId session) {
    return core_->UnpinOwner(session, *request, response);
  });
}

}  // namespace kvasir
