#include "rdma/scatter.h"

#include <algorithm>

#include "base/check.h"

namespace kvasir {

size_t ScatterCursor::Gather(std::span<iovec> out, uint64_t bytes_max, uint64_t* bytes) const {
  size_t used = 0;
  *bytes = 0;
  uint64_t offset = offset_bytes_;
  for (size_t i = slice_; i < slices_.size() && used < out.size() && *bytes < bytes_max; ++i) {
    const std::span<std::byte> rest = slices_[i].subspan(offset);
    offset = 0;
    if (rest.empty()) continue;
    const uint64_t take = std::min<uint64_t>(rest.size(), bytes_max - *bytes);
    out[used++] = {.iov_base = rest.data(), .iov_len = take};
    *bytes += take;
  }
  return used;
}

void ScatterCursor::Advance(uint64_t bytes) {
  while (bytes > 0) {
    KV_CHECK(slice_ < slices_.size());
    const uint64_t step = std::min<uint64_t>(bytes, slices_[slice_].size() - offset_bytes_);
    offset_bytes_ += step;
    bytes -= step;
    if (offset_bytes_ == slices_[slice_].size()) {
      ++slice_;
      offset_bytes_ = 0;
    }
  }
}

uint64_t ScatterBytes(std::span<const std::span<std::byte>> slices) {
  uint64_t total = 0;
  for (const std::span<std::byte> slice : slices) total += slice.size();
  return total;
}

}  // namespace kvasir
