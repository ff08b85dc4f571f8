#ifndef KVASIR_RDMA_TCP_LANE_RECEIVE_H_
#define KVASIR_RDMA_TCP_LANE_RECEIVE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "base/checksum.h"
#include "rdma/frame.h"
#include "rdma/scatter.h"
#include "rdma/tcp_move.h"
#include "rdma/tcp_socket.h"

namespace kvasir {

// Receives the answers of a batch, in the order of its moves: payload from the socket
// straight into the caller's slices, hashed right after. Each receive of payload takes
// the next header along. Not thread-safe.
class TcpLaneReceiver {
 public:
  explicit TcpLaneReceiver(int fd) : fd_(fd), threshold_(fd) {}

  // REQUIRES: the previous batch is done. `moves` must stay until this one is.
  void Begin(std::span<TcpMove> moves);
  // Receives what is there, up to a piece. kDone: every move is settled. kBroken: see
  // error().
  TcpProgress Step();
  // Why the connection cannot go on.
  const absl::Status& error() const { return error_; }

 private:
  TcpProgress ReceiveHead();
  TcpProgress ReceiveMeta();
  TcpProgress ReceivePayload();
  TcpProgress DropPayload();
  // One recvmsg; *received says how much, if anything moved.
  TcpProgress Receive(std::span<iovec> parts, uint64_t* received);
  // What a call that moved nothing comes to.
  TcpProgress NothingReceived(ssize_t result);
  TcpProgress Break(const absl::Status& status);

  // A whole header is there.
  TcpProgress TakeHead();
  // Whether the frame answers the move that is next.
  bool Answers(const TcpMove& move) const;
  bool DataFits(const TcpMove& move) const;
  TcpProgress TakeError();
  void TookPayload(uint64_t bytes);
  void Settle(const absl::Status& status);

  const int fd_;
  ReceiveThreshold threshold_;
  std::span<TcpMove> moves_;
  size_t next_ = 0;              // of moves_: waits for its answer
  ScatterCursor cursor_;         // where the next bytes of that move go
  uint64_t move_done_bytes_ = 0;
  Checksummer checksummer_;

  std::array<std::byte, kFrameHeaderBytes> header_bytes_;
  size_t header_have_bytes_ = 0;  // kept between batches
  FrameHeader head_;              // valid while there is meta or payload to come
  uint64_t payload_left_bytes_ = 0;
  std::array<char, kFrameMetaBytesMax> meta_;
  size_t meta_have_bytes_ = 0;
  size_t meta_left_bytes_ = 0;
  absl::Status error_;
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_TCP_LANE_RECEIVE_H_
