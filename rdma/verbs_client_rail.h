#ifndef KVASIR_RDMA_VERBS_CLIENT_RAIL_H_
#define KVASIR_RDMA_VERBS_CLIENT_RAIL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "rdma/token.h"
#include "rdma/verbs_credits.h"
#include "rdma/verbs_device.h"
#include "rdma/verbs_handles.h"
#include "rdma/verbs_mailbox.h"
#include "rdma/verbs_plan.h"

namespace kvasir {

inline constexpr uint32_t kVerbsReadsMax = 16;         // READs in flight on a queue pair
inline constexpr uint32_t kVerbsRequestsMax = 128;     // WRITEs in flight on a queue pair
// One message in so many asks for a completion, which gives the places of all before it in
// the send queue back. The queue has twice as many.
inline constexpr uint32_t kVerbsSilentMessagesMax = 8;
inline constexpr uint64_t kVerbsFlightBytesMax = 4 * 1024 * 1024;  // on a queue pair
// What a completion may take that ERR has promised; destroying the queue pair settles
// the rest.
inline constexpr std::chrono::milliseconds kVerbsDrainPatience{2'000};

// The client's end of one rail of a lane: a queue pair for READs, one for WRITEs, and the
// completion queue of both, which has room for all that the two may have in flight.
// Messages, where the server takes them, are sent on the one for READs.
// Not thread-safe. Destroying it closes it.
class VerbsClientRail {
 public:
  // `number` is the rail's in hello and offer, which name its keys by it. `device` must
  // outlive the rail. ResourceExhausted, or what the device says, if it has no queue left.
  static absl::StatusOr<std::unique_ptr<VerbsClientRail>> Make(const VerbsDevice* device,
                                                               size_t number = 0);
  ~VerbsClientRail();

  size_t number() const { return number_; }
  const std::string& device_name() const { return device_->name(); }

  // For the hello.
  const VerbsRail& address() const { return address_; }
  // Connects both queue pairs. InvalidArgument if the offer asks for what this side did
  // not say it can; else as ConnectVerbsQueue.
  absl::Status Connect(const VerbsRail& offered);

  size_t slices_max() const;  // of a request
  const VerbsCredits& credits(Access access) const { return *queue(access).credits; }
  size_t requests_in_flight() const {
    return credits(Access::kRead).requests_in_flight() +
           credits(Access::kWrite).requests_in_flight();
  }

  struct Request {
    Access access = Access::kRead;
    uint64_t remote_address = 0;
    uint32_t remote_key = 0;
    std::span<const ibv_sge> slices;  // at most kVerbsSlicesMax
    uint64_t bytes = 0;
    size_t tag = 0;  // comes back from Reap
  };
  // Takes a credit for a request and keeps it for Post. REQUIRES: credits(access)
  // CanPost(bytes).
  void Add(const Request& request);
  // Gives the NIC what was added; the last of each queue pair is signalled.
  absl::Status Post();

  // How a request failed.
  struct Failure {
    absl::Status status;
    size_t tag = 0;
  };
  // Takes what has completed and runs `settled` with the tag of each request that is
  // done, in order. The first failure, after which the rail can only be closed:
  // PermissionDenied if the server's NIC refused the request, InvalidArgument if this
  // side's did, Unavailable if nobody answered.
  std::optional<Failure> Reap(absl::FunctionRef<void(size_t tag)> settled);

  // From now on messages can be sent. As VerbsMailbox::Make; the rail is as good without.
  absl::Status OpenMailbox();
  bool has_mailbox() const { return mailbox_ != nullptr; }
  // Sends one and takes the answer, which Reap sees. REQUIRES: a mailbox, no exchange under
  // way, and at most kLaneMessageBytesMax. Unavailable if the NIC takes no requests.
  absl::Status SendMessage(std::string_view message);
  bool exchanging() const { return answer_due_ || send_due_; }
  // The last answer, until the next message.
  std::string_view answer() const { return mailbox_->received(answer_bytes_); }

  // From now on the next completion makes fd() readable. What completed before does not:
  // Reap once more before waiting.
  absl::Status Arm();
  int fd() const { return channel_->fd; }
  // Takes one event, if there is one, off fd().
  void TakeEvent();

  // Returns once no request touches local memory any more: both queue pairs to ERR, every
  // completion or kVerbsDrainPatience, then the queue pairs are destroyed. Idempotent.
  void Close(const Clock* clock);

 private:
  struct Queue {
    VerbsQp qp;
    std::unique_ptr<VerbsCredits> credits;
    // Added and not posted yet: requests[i] has slices[i].
    std::vector<ibv_send_wr> requests;
    std::vector<std::array<ibv_sge, kVerbsSlicesMax>> slices;
  };

  VerbsClientRail(const VerbsDevice* device, size_t number)
      : device_(device), number_(number) {}
  absl::Status MakeQueues();
  absl::Status MakeQueue(Access access, uint32_t requests_max);
  absl::Status PostQueue(Queue* queue);
  std::optional<Failure> TakeMessage(const ibv_wc& completion);
  std::optional<Failure> Take(const ibv_wc& completion,
                              absl::FunctionRef<void(size_t tag)> settled);
  Queue& queue(Access access) { return queues_[static_cast<size_t>(access)]; }
  const Queue& queue(Access access) const { return queues_[static_cast<size_t>(access)]; }

  const VerbsDevice* const device_;
  const size_t number_;
  VerbsChannel channel_;
  VerbsCq cq_;
  unsigned events_taken_ = 0;  // a completion queue wants them acknowledged
  std::unique_ptr<VerbsMailbox> mailbox_;  // null: no messages. Outlives the queue pairs
  std::array<Queue, 2> queues_;  // by Access
  VerbsRail address_;
  bool answer_due_ = false;
  bool send_due_ = false;  // its completion, where it was asked for
  size_t answer_bytes_ = 0;
  uint32_t silent_messages_ = 0;  // since the last whose completion was asked for
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_CLIENT_RAIL_H_
