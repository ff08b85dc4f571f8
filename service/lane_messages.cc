#include "service/lane_messages.h"

#include <fmt/core.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/status_reason.h"
#include "kvasir/v1/kv.pb.h"
#include "proto/codec.h"
#include "service/lane_method.h"

namespace kvasir {
namespace {

enum class Kind : uint8_t { kQuick, kPut, kOther };

Kind KindOf(const v1::LaneRequest& request) {
  switch (request.request_case()) {
    case v1::LaneRequest::kLookup:
    case v1::LaneRequest::kGrantReads:
    case v1::LaneRequest::kRelease:
      return Kind::kQuick;
    case v1::LaneRequest::kGrantWrites:
    case v1::LaneRequest::kCommit:
    case v1::LaneRequest::kAbort:
      return Kind::kPut;
    default:
      return Kind::kOther;
  }
}

// What fits into a message.
std::string Encode(v1::LaneResponse* response) {
  if (const size_t bytes = response->ByteSizeLong(); bytes > kLaneMessageBytesMax) {
    ToLaneError(WithReason(absl::ResourceExhaustedError(fmt::format(
                               "lane: the answer of {} bytes is too large for a message of {}",
                               bytes, kLaneMessageBytesMax)),
                           kReasonLimit),
                response->mutable_error());
  }
  return response->SerializeAsString();
}

}  // namespace

// Its request is inside until it is destroyed.
struct LaneMessages::Message {
  explicit Message(LaneMessages* of) : of(of) {}
  ~Message() { of->Leave(); }

  LaneMessages* const of;
  SessionId session;
  LaneId lane{};
  v1::LaneRequest request;
  ServerTransport::Reply reply;
};

bool LaneMessages::Enter() {
  absl::MutexLock lock(&mu_);
  inside_ += draining_ ? 0 : 1;
  return !draining_;
}

void LaneMessages::Leave() {
  absl::MutexLock lock(&mu_);
  --inside_;
}

void LaneMessages::Drain() {
  absl::MutexLock lock(&mu_);
  draining_ = true;
  const auto empty = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return inside_ == 0; };
  mu_.Await(absl::Condition(&empty));
}

void LaneMessages::Answer(SessionId session, LaneId lane, std::string_view request,
                          ServerTransport::Reply reply) {
  if (!Enter()) return;
  // Shared: one that waits is owned by whoever settles it, at once perhaps.
  const auto message = std::make_shared<Message>(this);
  message->session = session;
  message->lane = lane;
  message->reply = std::move(reply);
  const bool parsed =
      message->request.ParseFromArray(request.data(), static_cast<int>(request.size()));
  const Kind kind = KindOf(message->request);
  if (!parsed || kind == Kind::kOther) return Refuse(message.get(), parsed);
  if (kind == Kind::kPut && puts_->Submit([this, message] { AnswerWhenSettled(message); })) {
    return;
  }
  AnswerWhenSettled(message);
}

void LaneMessages::AnswerWhenSettled(const std::shared_ptr<Message>& message) {
  const bool waits = core_->WhenSettled(message->session, message->request,
                                        [this, message] { AnswerNow(message.get()); });
  if (!waits) AnswerNow(message.get());
}

void LaneMessages::Refuse(Message* message, bool parsed) {
  const absl::Status refusal = WithReason(
      absl::InvalidArgumentError(parsed ? "lane: this request goes on the control stream"
                                        : "lane: the message does not parse"),
      kReasonBadRequest);
  v1::LaneResponse response;
  ToLaneError(refusal, response.mutable_error());
  metrics_->Record(MethodOf(message->request), {}, refusal.code());
  (void)std::move(message->reply)(Encode(&response));
}

void LaneMessages::AnswerNow(Message* message) {
  const Instant begin = clock_->Now();
  v1::LaneResponse response;
  absl::AnyInvocable<void() &&> after_reply;
  core_->Handle(message->session, message->lane, message->request, &response, &after_reply);
  const std::string answer = Encode(&response);
  metrics_->Record(MethodOf(message->request), clock_->Now() - begin, CodeOf(response));
  (void)std::move(message->reply)(answer);
  if (after_reply) std::move(after_reply)();
}

}  // namespace kvasir
