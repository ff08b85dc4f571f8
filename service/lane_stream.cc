#include "service/lane_stream.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/status_reason.h"
#include "proto/codec.h"
#include "proto/grpc_status.h"
#include "service/lane_method.h"

namespace kvasir {
namespace {

absl::Status BadRequest(const char* message) {
  return WithReason(absl::InvalidArgumentError(message), kReasonBadRequest);
}

}  // namespace

LaneStream::LaneStream(KvCore* core, RequestMetrics* metrics, const Clock* clock,
                       grpc::CallbackServerContext* context)
    : core_(core),
      metrics_(metrics),
      clock_(clock),
      call_(context->c_call(), /*call_hook=*/nullptr, /*cq=*/nullptr) {
  functor_.functor_run = &OnReplyAndReadDone;
  functor_.inlineable = 0;
  functor_.stream = this;
  reply_and_read_.set_core_cq_tag(&functor_);
  StartSendInitialMetadata();
  StartRead(&request_bytes_);
}

void LaneStream::OnReplyAndReadDone(grpc_completion_queue_functor* functor, int success) {
  LaneStream* const stream = static_cast<Functor*>(functor)->stream;
  void* tag = nullptr;
  bool ok = success != 0;
  stream->reply_and_read_.FinalizeResult(&tag, &ok);
  stream->OnReadDone(ok);
}

void LaneStream::OnReadDone(bool ok) {
  if (!ok) {
    Close();  // At once: the fence need not wait for the stream's last words.
    return Finish(grpc::Status::OK);
  }
  const v1::LaneRequest* const request = requests_.Read(&request_bytes_);
  if (request == nullptr) {
    Finish(ToGrpcStatus(BadRequest("lane: the message does not parse")));
  } else if (lane_ == LaneId{} && !request->has_open()) {
    Finish(ToGrpcStatus(BadRequest("lane: the first message must be `open`")));
  } else if (!core_->WhenSettled(session_, *request, [this, request] { Answer(*request); })) {
    Answer(*request);
  }
}

void LaneStream::OnDone() {
  Close();
  delete this;
}

void LaneStream::Answer(const v1::LaneRequest& request) {
  absl::AnyInvocable<void()&&> after_reply = Handle(request);
  if (session_gone()) return AnswerLast();
  const grpc::Status serialized = reply_and_read_.SendMessage(response_);
  if (!serialized.ok()) return Finish(serialized);
  reply_and_read_.RecvMessage(&request_bytes_);
  // From here on another thread may be in the next Answer, or have deleted this: nothing
  // below may touch a member. Until the batch is done, nothing else ends the call.
  reply_and_read_.FillOps(&call_);
  if (after_reply) std::move(after_reply)();
}

void LaneStream::AnswerLast() {
  bool own_buffer = false;
  const grpc::Status serialized =
      grpc::GenericSerialize<grpc::ProtoBufferWriter, v1::LaneResponse>(
          response_, &last_response_bytes_, &own_buffer);
  if (!serialized.ok()) return Finish(serialized);
  StartWriteAndFinish(&last_response_bytes_, grpc::WriteOptions(), grpc::Status::OK);
}

absl::AnyInvocable<void() &&> LaneStream::Handle(const v1::LaneRequest& request) {
  const Instant begin = clock_->Now();
  const Method method = MethodOf(request);
  absl::AnyInvocable<void() &&> after_reply;
  if (lane_ == LaneId{}) {
    Open(request.open());
  } else if (request.has_open()) {
    ToLaneError(BadRequest("lane: it is open already"), response_.mutable_error());
  } else {
    core_->Handle(session_, lane_, request, &response_, &after_reply);
  }
  metrics_->Record(method, clock_->Now() - begin, CodeOf(response_));
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
