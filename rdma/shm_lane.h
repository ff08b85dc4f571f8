#ifndef KVASIR_RDMA_SHM_LANE_H_
#define KVASIR_RDMA_SHM_LANE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/fd.h"
#include "rdma/shm_mapping.h"
#include "rdma/shm_region_cache.h"
#include "rdma/shm_ring_cursor.h"
#include "rdma/transport.h"

namespace kvasir {

// The client's end of one shm lane. Reads are copies out of the mapped regions; writes
// go through the ring, and the server copies one piece while this end fills the next.
class ShmLane final : public Lane {
 public:
  struct Parts {
    UniqueFd socket;
    ShmMapping ring;  // writable
    std::vector<ShmRegionCache::Ref> regions;
    const Clock* clock = nullptr;  // Not owned; must outlive the lane.
  };
  explicit ShmLane(Parts parts);

  void Run(std::span<Transfer> batch, Instant deadline) override;
  bool usable() const override { return usable_; }

 private:
  // A put packet that the server has not acknowledged.
  struct InFlight {
    size_t transfer = 0;
    uint64_t sequence = 0;
    bool last = false;  // of its transfer
  };

  void RunReads(std::span<Transfer> batch, Instant deadline);
  absl::Status Read(Transfer* transfer, Instant deadline);
  absl::StatusOr<std::span<const std::byte>> MappedBytes(const Extent& extent) const;

  void RunWrites(std::span<Transfer> batch, Instant deadline);
  // An error here is the lane's, not the transfer's.
  absl::Status Write(std::span<Transfer> batch, size_t index, Instant deadline);
  absl::Status WritePieces(std::span<Transfer> batch, size_t index, Instant deadline);
  absl::StatusOr<uint64_t> TakeRing(std::span<Transfer> batch, uint64_t size_bytes,
                                    Instant deadline);
  absl::Status TakeAck(std::span<Transfer> batch, Instant deadline);
  void Settle(std::span<Transfer> batch, size_t index, absl::Status status);

  void Close();

  const Clock* const clock_;
  const uint64_t piece_bytes_max_;
  UniqueFd socket_;
  ShmMapping ring_;
  std::vector<ShmRegionCache::Ref> regions_;
  Checksummer checksummer_;
  ShmRingCursor cursor_;
  std::deque<InFlight> in_flight_;  // oldest first
  std::vector<bool> settled_;       // of the batch that runs: its status is final
  uint64_t next_sequence_ = 1;
  bool usable_ = true;
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_SHM_LANE_H_
