#ifndef KVASIR_SERVICE_LANE_MESSAGES_H_
#define KVASIR_SERVICE_LANE_MESSAGES_H_

#include <cstddef>
#include <memory>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/ids.h"
#include "rdma/transport.h"
#include "service/kv_core.h"
#include "service/request_metrics.h"

namespace kvasir {

// Answers the requests that come as messages on lanes instead of on their control streams.
// The bytes are a LaneRequest and a LaneResponse. What is quick (lookups, grants to read,
// releases) is answered at once, on the thread that all messages come on; what makes puts may
// have to evict or to look at every byte, and has an executor. The rest, and what does not
// parse, is an error (BAD_REQUEST). An answer that would be too large for a message is one as
// well (LIMIT_EXCEEDED); its leases run out by themselves. A request that is to wait for the
// disk is answered later.
//
// Thread-safe. The core must outlive every answer that waits in it.
class LaneMessages {
 public:
  // None owned; all must outlive Drain. An executor that is full leaves a request to the
  // thread that it came on.
  LaneMessages(KvCore* core, RequestMetrics* metrics, const Clock* clock, Executor* puts)
      : core_(core), metrics_(metrics), clock_(clock), puts_(puts) {}

  // Returns once no request is in the core or waits there, which is in kMaxSettleWait if the
  // core's Step is called meanwhile; from now on none is answered. For the end of the
  // transports, which the core must not call afterwards.
  void Drain() ABSL_LOCKS_EXCLUDED(mu_);

  // A ServerTransport::MessageHandler.
  void Answer(SessionId session, LaneId lane, std::string_view request,
              ServerTransport::Reply reply) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Message;
  // False if none is let in any more.
  bool Enter() ABSL_LOCKS_EXCLUDED(mu_);
  void Leave() ABSL_LOCKS_EXCLUDED(mu_);
  void AnswerWhenSettled(const std::shared_ptr<Message>& message);
  void AnswerNow(Message* message);
  void Refuse(Message* message, bool parsed);

  KvCore* const core_;
  RequestMetrics* const metrics_;
  const Clock* const clock_;
  Executor* const puts_;
  absl::Mutex mu_;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  size_t inside_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_LANE_MESSAGES_H_
