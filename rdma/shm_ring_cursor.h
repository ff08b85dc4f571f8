#ifndef KVASIR_RDMA_SHM_RING_CURSOR_H_
#define KVASIR_RDMA_SHM_RING_CURSOR_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

namespace kvasir {

// Which bytes of a lane's ring are in use: contiguous pieces, taken and given back in one
// order. Starts over at 0 whenever nothing is in use, so that small puts stay in the same
// few pages, warm in the cache. Not thread-safe.
class ShmRingCursor {
 public:
  explicit ShmRingCursor(uint64_t ring_bytes) : ring_bytes_(ring_bytes) {}

  // The offset of `size_bytes` free bytes in a row, now in use. Nothing if they are not
  // there before more is given back.
  // REQUIRES: `size_bytes` > 0.
  std::optional<uint64_t> Take(uint64_t size_bytes);
  // Gives back the piece that was taken first of those in use.
  // REQUIRES: in_use() > 0.
  void GiveBack();
  size_t in_use() const { return pieces_.size(); }

 private:
  struct Piece {
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  const uint64_t ring_bytes_;
  std::deque<Piece> pieces_;  // oldest first
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_SHM_RING_CURSOR_H_
