#include "service/lane_stream.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/status_reason.h"
#include "proto/codec.h"
#include "proto/grpc_status.h"

namespace kvasir {
namespace {

Method MethodOf(v1::LaneRequest::RequestCase request) {
  switch (request) {
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

absl::Status BadRequest(const char* message) {
  return WithReason(absl::InvalidArgumentError(message), kReasonBadRequest);
}

}  // namespace

LaneStream::LaneStream(KvCore* core, RequestMetrics* metrics, const Clock* clock)
    : core_(core), metrics_(metrics), clock_(clock) {
  StartRead(&request_bytes_);
}

void LaneStream::OnReadDone(bool ok) {
  if (!ok) {
    ended_ = true;
    Close();  // At once: the fence need not wait for the reply on its way.
  }
  ProceedWhenIdle();
}

// A write that failed means that the client is gone: the read fails next.
void LaneStream::OnWriteDone(bool ok) { ProceedWhenIdle(); }

void LaneStream::OnDone() {
  Close();
  delete this;
}

void LaneStream::ProceedWhenIdle() {
  if (outstanding_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (ended_) return Finish(grpc::Status::OK);
  const v1::LaneRequest* const request = requests_.Read(&request_bytes_);
  if (request == nullptr) {
    Finish(ToGrpcStatus(BadRequest("lane: the message does not parse")));
  } else if (lane_ == LaneId{} && !request->has_open()) {
    Finish(ToGrpcStatus(BadRequest("lane: the first message must be `open`")));
  } else {
    Answer(*request);
  }
}

void LaneStream::Answer(const v1::LaneRequest& request) {
  absl::AnyInvocable<void()&&> after_reply = Handle(request);
  response_bytes_.Clear();  // The serialiser wants it empty.
  bool own_buffer = false;
  const grpc::Status serialized =
      grpc::GenericSerialize<grpc::ProtoBufferWriter, v1::LaneResponse>(
          response_, &response_bytes_, &own_buffer);
  if (!serialized.ok()) return Finish(serialized);
  if (session_gone()) {  // Nothing can be done on this lane any more.
    return StartWriteAndFinish(&response_bytes_, grpc::WriteOptions(), grpc::Status::OK);
  }
  // From the two starts on, another thread may be in the next Answer, or have deleted
  // this: nothing below them may touch a member.
  outstanding_.store(2, std::memory_order_relaxed);
  StartWrite(&response_bytes_);
  StartRead(&request_bytes_);
  if (after_reply) std::move(after_reply)();
}

absl::AnyInvocable<void() &&> LaneStream::Handle(const v1::LaneRequest& request) {
  const Instant begin = clock_->Now();
  const Method method = MethodOf(request.request_case());
  absl::AnyInvocable<void() &&> after_reply;
  if (lane_ == LaneId{}) {
    Open(request.open());
  } else if (request.has_open()) {
    ToLaneError(BadRequest("lane: it is open already"), response_.mutable_error());
  } else {
    core_->Handle(session_, lane_, request, &response_, &after_reply);
  }
  const absl::StatusCode code = response_.has_error()
                                    ? ErrorCodeFromWire(response_.error().code())
                                    : absl::StatusCode::kOk;
  metrics_->Record(method, clock_->Now() - begin, code);
  return after_reply;
}

bool LaneStream::session_gone() const {
  return lane_ != LaneId{} && response_.has_error() &&
         response_.error().reason() == kReasonSessionUnknown;
}

void LaneStream::Open(const v1::OpenLaneRequest& request) {
  const absl::StatusOr<SessionId> session = SessionId::FromBytes(request.session());
  if (!session.ok()) {
    return ToLaneError(WithReason(session.status(), kReasonBadRequest),
                       response_.mutable_error());
  }
  const absl::StatusOr<LaneId> lane =
      core_->OpenLane(*session, request, response_.mutable_open());
  if (!lane.ok()) return ToLaneError(lane.status(), response_.mutable_error());
  session_ = *session;
  lane_ = *lane;
}

void LaneStream::Close() {
  if (lane_ != LaneId{}) core_->CloseLane(session_, lane_);
}

}  // namespace kvasir
