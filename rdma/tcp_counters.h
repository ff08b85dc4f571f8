#ifndef KVASIR_RDMA_TCP_COUNTERS_H_
#define KVASIR_RDMA_TCP_COUNTERS_H_

#include <atomic>
#include <cstdint>

namespace kvasir {

// Totals of one tcp server, added to by its loops and by pushing threads. Every access
// is relaxed: the numbers order nothing.
struct TcpCounters {
  std::atomic<uint64_t> read_bytes{0};
  std::atomic<uint64_t> written_bytes{0};
  std::atomic<uint64_t> read_ops{0};
  std::atomic<uint64_t> written_ops{0};
  std::atomic<uint64_t> refused_frames{0};

  static void Add(std::atomic<uint64_t>& counter, uint64_t value) {
    counter.fetch_add(value, std::memory_order_relaxed);
  }
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_TCP_COUNTERS_H_
