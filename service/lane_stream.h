#ifndef KVASIR_SERVICE_LANE_STREAM_H_
#define KVASIR_SERVICE_LANE_STREAM_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/call.h>
#include <grpcpp/impl/call_op_set.h>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/ids.h"
#include "kvasir/v1/kv.pb.h"
#include "service/kv_core.h"
#include "service/lane_stream_reader.h"
#include "service/request_metrics.h"

namespace kvasir {

// One lane's control stream. The first message must be `open`; one that fails is
// answered with a LaneError and may be tried again, on another transport say. Then every
// request is answered in turn. The end of the stream, however it comes, closes the lane.
//
// A reply and the read of the next request are one batch of gRPC's core, which the
// callback API has no call for: one completion a request instead of two, and the client's
// next request finds the read waiting (docs/decisions/0006). Messages are reused with the
// memory inside them, for which gRPC's own parsing leaves no way: hence the raw bytes.
//
// A request that is to wait for the disk is answered later, by whoever settles it: until
// then nothing of the stream is under way, so nobody else touches it.
//
// Threads: gRPC calls the reactions, one at a time. Deletes itself in OnDone.
class LaneStream final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // None owned; all must outlive the stream. `context` is that of the call.
  LaneStream(KvCore* core, RequestMetrics* metrics, const Clock* clock,
             grpc::CallbackServerContext* context);

  void OnReadDone(bool ok) override;
  void OnDone() override;

 private:
  using ReplyAndRead =
      grpc::internal::CallOpSet<grpc::internal::CallOpSendMessage,
                                grpc::internal::CallOpRecvMessage<grpc::ByteBuffer>>;
  // What gRPC runs, on a thread of the callback API, when a ReplyAndRead is done.
  struct Functor : grpc_completion_queue_functor {
    LaneStream* stream;
  };

  static void OnReplyAndReadDone(grpc_completion_queue_functor* functor, int ok);
  void Answer(const v1::LaneRequest& request);
  // Nothing can be done on this lane any more: sends response_ and ends the stream.
  void AnswerLast();
  // Fills response_, counts it, and returns what is to run once it has left.
  absl::AnyInvocable<void() &&> Handle(const v1::LaneRequest& request);
  void Open(const v1::OpenLaneRequest& request);
  bool session_gone() const;
  void Close();

  KvCore* const core_;
  RequestMetrics* const metrics_;
  const Clock* const clock_;

  SessionId session_;
  LaneId lane_{};  // 0: not open
  grpc::ByteBuffer request_bytes_;
  LaneStreamReader requests_;
  v1::LaneResponse response_;
  grpc::ByteBuffer last_response_bytes_;
  grpc::internal::Call call_;
  ReplyAndRead reply_and_read_;
  Functor functor_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_LANE_STREAM_H_
