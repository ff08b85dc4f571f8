#include "service/heartbeat_stream.h"

#include "base/status_reason.h"
#include "proto/grpc_status.h"

namespace kvasir {

HeartbeatStream::HeartbeatStream(KvCore* core, RequestMetrics* metrics,
                                 const Clock* clock)
    : core_(core), metrics_(metrics), clock_(clock) {
  StartRead(&request_);
}

void HeartbeatStream::OnReadDone(bool ok) {
  if (!ok) return Finish(grpc::Status::OK);
  const Instant begin = clock_->Now();
  const absl::Status beat = Beat();
  metrics_->Record(Method::kHeartbeat, clock_->Now() - begin, beat.code());
  if (!beat.ok()) return Finish(ToGrpcStatus(beat));
  response_.set_draining(core_->draining());
  StartWrite(&response_);
}

void HeartbeatStream::OnWriteDone(bool ok) {
  if (!ok) return Finish(grpc::Status::OK);  // The client is gone.
  StartRead(&request_);
}

void HeartbeatStream::OnDone() {
  if (session_.has_value()) core_->CloseSession(*session_);
  delete this;
}

absl::Status HeartbeatStream::Beat() {
  const absl::StatusOr<SessionId> session = SessionId::FromBytes(request_.session());
  if (!session.ok()) return WithReason(session.status(), kReasonBadRequest);
  if (session_.has_value() && *session_ != *session) {
    return WithReason(
        absl::InvalidArgumentError("heartbeat: the stream belongs to another session"),
        kReasonBadRequest);
  }
  absl::Status alive = core_->Heartbeat(*session);
  if (alive.ok()) session_ = *session;
  return alive;
}

}  // namespace kvasir
