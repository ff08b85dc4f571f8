#ifndef KVASIR_RDMA_SCATTER_H_
#define KVASIR_RDMA_SCATTER_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace kvasir {

// Walks a scatter list from its start. Does not own the list.
class ScatterCursor {
 public:
  ScatterCursor() = default;
  explicit ScatterCursor(std::span<const std::span<std::byte>> slices) : slices_(slices) {}

  // Sets `out` to the next bytes, at most `bytes_max` of them, as far as `out` has
  // entries. Returns the entries used; `*bytes` is the sum of their sizes. Empty slices
  // take no entry.
  size_t Gather(std::span<iovec> out, uint64_t bytes_max, uint64_t* bytes) const;
  // REQUIRES: at least `bytes` are left.
  void Advance(uint64_t bytes);

 private:
  std::span<const std::span<std::byte>> slices_;
  size_t slice_ = 0;
  uint64_t offset_bytes_ = 0;  // within slices_[slice_]
};

// Sum of the sizes.
uint64_t ScatterBytes(std::span<const std::span<std::byte>> slices);

}  // namespace kvasir

#endif  // KVASIR_RDMA_SCATTER_H_
