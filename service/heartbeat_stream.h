#ifndef KVASIR_SERVICE_HEARTBEAT_STREAM_H_
#define KVASIR_SERVICE_HEARTBEAT_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <optional>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/ids.h"
#include "kvasir/v1/kv.pb.h"
#include "service/kv_core.h"
#include "service/request_metrics.h"

namespace kvasir {

// A session's signs of life, one answer a beat. Bound to the session of its first beat;
// its end, however it comes, ends that session: the end of a client's process is
// noticed at once, and its silence by the reaper.
//
// Threads: gRPC calls the reactions, one at a time. Deletes itself in OnDone.
class HeartbeatStream final
    : public grpc::ServerBidiReactor<v1::HeartbeatRequest, v1::HeartbeatResponse> {
 public:
  // None owned; all must outlive the stream.
  HeartbeatStream(KvCore* core, RequestMetrics* metrics, const Clock* clock);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override;

 private:
  absl::Status Beat();

  KvCore* const core_;
  RequestMetrics* const metrics_;
  const Clock* const clock_;
  std::optional<SessionId> session_;
  v1::HeartbeatRequest request_;
  v1::HeartbeatResponse response_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_HEARTBEAT_STREAM_H_
