#ifndef KVASIR_RDMA_SHM_PUT_RECEIVER_H_
#define KVASIR_RDMA_SHM_PUT_RECEIVER_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/checksum.h"
#include "base/ids.h"
#include "rdma/shm_mapping.h"
#include "rdma/shm_wire.h"
#include "rdma/transport.h"

namespace kvasir {

// The server's end of one lane's ring: copies the pieces that put packets name into their
// blocks, under the gate, and hashes what it has copied. The client writes the ring at
// any time and to any purpose, so each byte is read from it once. Not thread-safe.
class ShmPutReceiver {
 public:
  struct Options {
    SessionId session;
    LaneId lane{};
    Gate* gate = nullptr;  // Not owned; must outlive the receiver.
  };
  // `ring` is mapped read-only.
  ShmPutReceiver(const Options& options, ShmMapping ring);

  // Copies one piece. The pieces of a block come in order, from its first byte on; a
  // block may start over. InvalidArgument if the packet's numbers leave the ring or the
  // limits; PermissionDenied if the gate refuses it or it is out of order, also because
  // a piece before it was refused. Nothing is copied on error.
  absl::Status Receive(const ShmPut& put);

  // Blocks copied to their last byte.
  uint64_t blocks_total() const { return blocks_total_; }

 private:
  // The block whose next piece is due.
  struct Filling {
    LeaseId lease{};
    uint64_t done_bytes = 0;
  };

  absl::StatusOr<std::span<const std::byte>> PieceOf(const ShmPut& put) const;
  absl::Status Copy(const ShmPut& put, std::span<const std::byte> from);

  const Options options_;
  const ShmMapping ring_;
  Checksummer checksummer_;
  Filling filling_;
  uint64_t blocks_total_ = 0;
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_SHM_PUT_RECEIVER_H_
