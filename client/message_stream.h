#ifndef KVASIR_CLIENT_MESSAGE_STREAM_H_
#define KVASIR_CLIENT_MESSAGE_STREAM_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "base/clock.h"
#include "client/control.h"
#include "kvasir/v1/kv.pb.h"
#include "rdma/transport.h"

namespace kvasir {

// A lane's control stream of which most travels as messages, where the lane carries them:
// what gets and puts ask, as long as it is small, which spares it gRPC. The rest goes on the
// stream below. While an answer stays away that is asked for a sign of life: it tells sooner
// than the lane, or at all, that the server or the session is gone. Not thread-safe.
class MessageStream final : public ControlStream {
 public:
  // `lane` and `clock` are borrowed; both must outlive every call.
  MessageStream(std::unique_ptr<ControlStream> stream, Lane* lane, const Clock* clock)
      : stream_(std::move(stream)), lane_(lane), clock_(clock) {}

  absl::Status Exchange(const v1::LaneRequest& request, v1::LaneResponse* response,
                        Instant deadline) override;

 private:
  absl::Status ExchangeMessages(const v1::LaneRequest& request, v1::LaneResponse* response,
                                Instant deadline);
  // OK, or why no answer is to be expected.
  absl::Status AskStream(Instant deadline);

  const std::unique_ptr<ControlStream> stream_;
  Lane* const lane_;
  const Clock* const clock_;
  std::string message_;  // a member so that its memory is reused
  v1::LaneResponse sign_of_life_;
  bool ended_ = false;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_MESSAGE_STREAM_H_
