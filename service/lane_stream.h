#ifndef KVASIR_SERVICE_LANE_STREAM_H_
#define KVASIR_SERVICE_LANE_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <atomic>

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
// The next read is posted before the reply has left, so that the client's next request
// finds it waiting: an answer starts once both the read and the write before it are
// done. Messages are reused with the memory inside them, for which gRPC's own parsing
// leaves no way: hence the raw bytes.
//
// Threads: gRPC calls the reactions, at most one read and one write at a time. Deletes
// itself in OnDone.
class LaneStream final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // None owned; all must outlive the stream.
  LaneStream(KvCore* core, RequestMetrics* metrics, const Clock* clock);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override;

 private:
  void ProceedWhenIdle();
  void Answer(const v1::LaneRequest& request);
  // Fills response_, counts it, and returns what is to run once it has left.
  absl::AnyInvocable<void() &&> Handle(const v1::LaneRequest& request);
  void Open(const v1::OpenLaneRequest& request);
  bool session_gone() const;
  void Close();

  KvCore* const core_;
  RequestMetrics* const metrics_;
  const Clock* const clock_;

  // Operations that are out. Whoever takes it to 0 owns all that follows: its
  // subtraction pairs with the one of the other reaction.
  std::atomic<int> outstanding_{1};
  bool ended_ = false;  // the read said that no more requests come
  SessionId session_;
  LaneId lane_{};  // 0: not open
  grpc::ByteBuffer request_bytes_;
  grpc::ByteBuffer response_bytes_;
  LaneStreamReader requests_;
  v1::LaneResponse response_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_LANE_STREAM_H_
