#ifndef KVASIR_CLIENT_CONTROL_H_
#define KVASIR_CLIENT_CONTROL_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/ids.h"
#include "kvasir/v1/kv.pb.h"

// The control plane of one node as the client's rules see it. NodeClient implements it
// over gRPC, the simulation over an in-memory network.
namespace kvasir {

// One lane's control stream. One exchange at a time; not thread-safe. Destruction ends
// the stream, which makes the server fence the lane.
class ControlStream {
 public:
  virtual ~ControlStream() = default;
  // Sends `request` and waits for the response to it. DeadlineExceeded or Unavailable
  // leave the stream unusable: every later call answers Unavailable. A LaneError is
  // returned as the status it stands for, and leaves the stream usable.
  virtual absl::Status Exchange(const v1::LaneRequest& request, v1::LaneResponse* response,
                                Instant deadline) = 0;
};

// Signs of life. The end of it ends the session at the server.
class HeartbeatStream {
 public:
  virtual ~HeartbeatStream() = default;
  // One beat and its answer: whether the server is draining.
  virtual absl::StatusOr<bool> Beat(Instant deadline) = 0;
};

// Thread-safe.
class ControlChannel {
 public:
  virtual ~ControlChannel() = default;
  virtual absl::StatusOr<v1::OpenSessionResponse> OpenSession(
      const v1::OpenSessionRequest& request, Instant deadline) = 0;
  // These do not wait: a broken channel shows at the first exchange.
  virtual std::unique_ptr<HeartbeatStream> OpenHeartbeat(SessionId session) = 0;
  virtual std::unique_ptr<ControlStream> OpenStream() = 0;
  virtual absl::Status CloseSession(SessionId session, Instant deadline) = 0;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CONTROL_H_
