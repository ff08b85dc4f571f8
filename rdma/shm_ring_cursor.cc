#include "rdma/shm_ring_cursor.h"

#include "base/check.h"

namespace kvasir {

std::optional<uint64_t> ShmRingCursor::Take(uint64_t size_bytes) {
  KV_CHECK(size_bytes > 0);
  uint64_t begin = pieces_.empty() ? 0 : pieces_.back().end;
  uint64_t end_max = ring_bytes_;
  if (!pieces_.empty()) {
    const uint64_t oldest = pieces_.front().begin;
    const bool wrapped = pieces_.back().begin < oldest;
    if (!wrapped && ring_bytes_ - begin < size_bytes) begin = 0;
    // From the start again: up to the oldest piece is free.
    if (wrapped || begin == 0) end_max = oldest;
  }
  if (end_max - begin < size_bytes) return std::nullopt;
  pieces_.push_back({.begin = begin, .end = begin + size_bytes});
  return begin;
}

void ShmRingCursor::GiveBack() {
  KV_CHECK(!pieces_.empty());
  pieces_.pop_front();
}

}  // namespace kvasir
