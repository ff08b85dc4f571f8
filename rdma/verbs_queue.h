#ifndef KVASIR_RDMA_VERBS_QUEUE_H_
#define KVASIR_RDMA_VERBS_QUEUE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rdma/verbs_device.h"
#include "rdma/verbs_handles.h"

// Reliable connected queue pairs and the states they go through (InfiniBand Architecture
// Specification, volume 1, section 10.3.1): RESET, INIT, RTR, on the requesting side RTS,
// and at the end ERR. Never back to RESET: what is in flight then may still land, without
// a completion that says so.
namespace kvasir {

// Local acknowledge timeout: 4.096 us * 2^16 = 268 ms; NICs may take up to four times
// that. With 5 retries soft-RoCE gives a peer up that is gone after 1.7 s. Never 7 retries:
// soft-RoCE then sends for ever and reports nothing.
inline constexpr uint8_t kVerbsAckTimeout = 16;
inline constexpr uint8_t kVerbsRetries = 5;
// "Not ready" is the answer of a peer that lives (one whose own send queue is full, on
// soft-RoCE); 7 means for ever, which the deadline of the batch bounds, and the lane's life
// the answer to a message.
inline constexpr uint8_t kVerbsNotReadyRetries = 7;
inline constexpr uint8_t kVerbsNotReadyTimer = 12;  // 0.64 ms

struct VerbsQueueOptions {
  ibv_cq* cq = nullptr;
  uint32_t sends_max = 1;
  uint32_t slices_max = 1;
  uint64_t tag = 0;  // wr_id of the posted receive, if there is one
  bool with_receive = false;
  int remote_access = 0;  // what the peer may do: IBV_ACCESS_REMOTE_READ, or _WRITE
};

// A queue pair in INIT, with one receive without memory posted if asked for: nobody may
// send there, so it completes only when the queue pair fails.
absl::StatusOr<VerbsQp> MakeVerbsQueue(const VerbsDevice& device,
                                       const VerbsQueueOptions& options);

// The other end of a queue pair.
struct VerbsPeerQueue {
  VerbsRail address;  // gid or lid, and mtu_bytes
  uint32_t qp = 0;
  uint32_t psn = 0;        // of the first packet that comes from there
  uint32_t reads_max = 0;  // READs in flight from there
};
// INIT to RTR: from here on it answers the peer. Unavailable if the peer's address cannot
// be reached from this device.
absl::Status ConnectVerbsQueue(ibv_qp* qp, const VerbsDevice& device,
                               const VerbsPeerQueue& peer);
// A sequence number to begin with that nobody can foresee, 24 bits.
uint32_t RandomVerbsPsn();
// RTR to RTS: from here on it also asks.
struct VerbsRequester {
  uint32_t psn = 0;        // of the first packet that goes out
  uint32_t reads_max = 0;  // READs in flight
};
absl::Status StartVerbsRequests(ibv_qp* qp, const VerbsRequester& requester);
// To ERR: every work request completes, most of them in error. Says what failed, which
// only a device that is gone can cause.
absl::Status FailVerbsQueue(ibv_qp* qp);

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_QUEUE_H_
