#ifndef KVASIR_RDMA_VERBS_LANE_MAIL_H_
#define KVASIR_RDMA_VERBS_LANE_MAIL_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "rdma/verbs_handles.h"
#include "rdma/verbs_mailbox.h"

namespace kvasir {

// In the wr_id of an answer's completion, beside the tag.
inline constexpr uint64_t kVerbsReplyBit = uint64_t{1} << 63;
// Answers on a queue pair that are not known to have arrived. One that is taken has its
// completion at about the time of the client's next message, and so there may be two.
inline constexpr uint32_t kVerbsAnswersMax = 2;

// The server's end of a lane's messages. It is shared by the lane and by the answers that
// are to come, from any thread, perhaps once a fence has taken the queue pair: whoever takes
// that, and the mailbox with it, cuts the mail off first.
//
// Thread-safe.
class VerbsLaneMail {
 public:
  // `tag` is that of the queue pair, and the wr_id of its receives.
  VerbsLaneMail(SessionId session, LaneId lane, uint64_t tag)
      : session_(session), lane_(lane), tag_(tag) {}

  SessionId session() const { return session_; }
  LaneId lane() const { return lane_; }

  // Takes the first message. Both must live until Cut.
  absl::Status Open(ibv_qp* qp, VerbsMailbox* mailbox) ABSL_LOCKS_EXCLUDED(mu_);
  // A copy of the message whose receive has completed with `bytes`. Empty: cut off.
  std::optional<std::string> Take(size_t bytes) ABSL_LOCKS_EXCLUDED(mu_);
  // Takes the next message, and sends `answer`; where kVerbsAnswersMax are on their way,
  // once one of them has arrived, and the client is not listened to until then. False if the
  // mail is cut off or the queue pair takes no requests. REQUIRES: no more than
  // kLaneMessageBytesMax.
  bool Reply(std::string_view answer) ABSL_LOCKS_EXCLUDED(mu_);
  // An answer has arrived.
  void OnArrived() ABSL_LOCKS_EXCLUDED(mu_);
  // From now on nothing is posted to the queue pair, and the mailbox is not looked at.
  void Cut() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  bool Post(std::string_view answer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const SessionId session_;
  const LaneId lane_;
  const uint64_t tag_;
  absl::Mutex mu_;
  // Null: not open, or cut off.
  ibv_qp* qp_ ABSL_GUARDED_BY(mu_) = nullptr;
  VerbsMailbox* mailbox_ ABSL_GUARDED_BY(mu_) = nullptr;
  uint32_t under_way_ ABSL_GUARDED_BY(mu_) = 0;
  std::optional<std::string> waiting_ ABSL_GUARDED_BY(mu_);  // for an arrival
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_LANE_MAIL_H_
