#ifndef KVASIR_RDMA_TCP_LANE_SEND_H_
#define KVASIR_RDMA_TCP_LANE_SEND_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/checksum.h"
#include "rdma/scatter.h"
#include "rdma/tcp_move.h"

namespace kvasir {

// Sends the requests of a batch: heads of reads many to a call, each write's head
// together with its payload, which is hashed piece by piece just before it is sent.
// Not thread-safe.
class TcpLaneSender {
 public:
  explicit TcpLaneSender(int fd) : fd_(fd) {}

  // REQUIRES: the previous batch is done. `moves` must stay until this one is.
  void Begin(std::span<TcpMove> moves);
  // Sends what the socket takes at once. kDone: everything is sent.
  TcpProgress Step();

 private:
  // Lines up the next heads, and the payload behind the last one.
  void Refill();
  void AppendHead(const TcpMove& move);
  // Hashes the next piece of the payload.
  void OpenPiece();
  void Advance(uint64_t sent_bytes);

  const int fd_;
  std::span<TcpMove> moves_;
  size_t next_ = 0;          // of moves_, to be lined up
  std::string heads_;        // lined up
  size_t heads_sent_bytes_ = 0;
  TcpMove* write_ = nullptr;  // whose payload follows heads_
  ScatterCursor payload_;     // what is left of it
  uint64_t payload_left_bytes_ = 0;
  uint64_t piece_left_bytes_ = 0;  // of the piece that is hashed
  Checksummer checksummer_;
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_TCP_LANE_SEND_H_
