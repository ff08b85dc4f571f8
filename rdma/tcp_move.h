#ifndef KVASIR_RDMA_TCP_MOVE_H_
#define KVASIR_RDMA_TCP_MOVE_H_

#include <cstdint>

#include "rdma/frame.h"
#include "rdma/transport.h"

namespace kvasir {

// One transfer of a batch on its way over a tcp lane.
struct TcpMove {
  Transfer* transfer = nullptr;
  uint32_t tag = kNoTag;  // kNoTag: pushed, the server sends it unasked
  bool skipped = false;   // pushed, and its bytes are dropped
  bool settled = false;   // its status is final
};

// What a step of sending or receiving came to.
enum class TcpProgress { kMoved, kBlocked, kDone, kBroken };

// Bytes hashed and moved at a time: they are still in the L2 cache for the second of
// the two. Measured: 64 KiB to 256 KiB do equally well, 1 MiB does not.
inline constexpr uint64_t kTcpClientPieceBytes = 256 * 1024;
// Slices moved by one call.
inline constexpr size_t kTcpClientSlicesMax = 64;

}  // namespace kvasir

#endif  // KVASIR_RDMA_TCP_MOVE_H_
