#ifndef KVASIR_RDMA_VERBS_MAILBOX_H_
#define KVASIR_RDMA_VERBS_MAILBOX_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rdma/transport.h"
#include "rdma/verbs_device.h"
#include "rdma/verbs_handles.h"

namespace kvasir {

// Memory for the messages of one queue pair: a buffer where the peer's next one lands, and
// one from which ours leaves. The two sides take turns, so one of each is enough.
//
// Not thread-safe. Must outlive the queue pair.
class VerbsMailbox {
 public:
  // As VerbsDevice::Register.
  static absl::StatusOr<std::unique_ptr<VerbsMailbox>> Make(const VerbsDevice& device);

  // Takes one message, whose completion has the wr_id `id`.
  absl::Status PostReceive(ibv_qp* qp, uint64_t id);
  // Wakes a peer that waits for solicited events. REQUIRES: no more than
  // kLaneMessageBytesMax. Unavailable if the queue pair takes no requests.
  absl::Status Send(ibv_qp* qp, uint64_t id, std::string_view message, bool signalled);
  // What the receive of a completion with `bytes` has brought, until the next PostReceive.
  std::string_view received(size_t bytes) const {
    return {reinterpret_cast<const char*>(memory_.data()), bytes};
  }

 private:
  VerbsMailbox() : memory_(2 * kLaneMessageBytesMax) {}

  std::vector<std::byte> memory_;  // what comes, then what goes
  VerbsMr mr_;
};

// A queue pair that is to be destroyed, and what it may use until then.
struct VerbsCutQueue {
  std::unique_ptr<VerbsMailbox> mailbox;
  VerbsQp qp;
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_MAILBOX_H_
