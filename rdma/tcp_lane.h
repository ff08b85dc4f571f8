#ifndef KVASIR_RDMA_TCP_LANE_H_
#define KVASIR_RDMA_TCP_LANE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/fd.h"
#include "rdma/tcp_lane_receive.h"
#include "rdma/tcp_lane_send.h"
#include "rdma/tcp_move.h"
#include "rdma/tcp_offer.h"
#include "rdma/transport.h"

namespace kvasir {

// A client's end of one connection. Run sends every request of the batch while it
// receives answers, from one thread and with one nonblocking socket, so that neither
// side can wait for the other for ever. Bytes move between the socket and the caller's
// slices, hashed piece by piece while they are in cache; nothing is kept that points
// there when Run returns, and a batch that ended early closes the socket.
class TcpLane final : public Lane {
 public:
  // `clock` is not owned and must outlive the lane.
  TcpLane(UniqueFd fd, const Clock* clock)
      : fd_(std::move(fd)), clock_(clock), sender_(fd_.get()), receiver_(fd_.get()) {}

  // Binds the connection to its lane. PermissionDenied if the server does not know the
  // nonce; DeadlineExceeded; Unavailable.
  absl::Status Attach(const TcpNonce& nonce, Instant deadline);

  void Run(std::span<Transfer> batch, Instant deadline) override;
  bool usable() const override { return fd_.valid(); }

 private:
  // Checks each transfer and lists those that move.
  void Plan(std::span<Transfer> batch);
  void PlanOne(Transfer* transfer);
  // Sends and receives until all moves are settled. An error is the connection's.
  absl::Status Exchange(Instant deadline);
  // Gives every open move `status` and closes the connection.
  void Abandon(const absl::Status& status);

  UniqueFd fd_;
  const Clock* const clock_;
  uint32_t next_tag_ = kNoTag + 1;
  std::vector<TcpMove> moves_;  // of the batch that runs, in the order of the answers
  TcpLaneSender sender_;
  TcpLaneReceiver receiver_;
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_TCP_LANE_H_
