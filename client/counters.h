#ifndef KVASIR_CLIENT_COUNTERS_H_
#define KVASIR_CLIENT_COUNTERS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "client/options.h"
#include "client/outcome.h"
#include "rdma/transport.h"

namespace kvasir {

// What a client has done, over all nodes. Thread-safe: every number is an atomic of its
// own, relaxed, since none guards another.
class Counters {
 public:
  // One batch's answers. Bytes count as those of `transport`.
  void CountGet(std::span<const KeyResult> results, TransportKind transport);
  void CountPut(std::span<const KeyResult> results, TransportKind transport);
  // Answers that no transport took part in.
  void CountMisses(Outcome outcome, size_t keys);
  void CountPutFailures(size_t keys) { Add(&put_failures_, keys); }
  void CountRetry() { Add(&retries_, 1); }
  void CountReconnect() { Add(&reconnects_, 1); }
  void CountFallback() { Add(&transport_fallbacks_, 1); }

  ClientCounters Read() const;

 private:
  using Count = std::atomic<uint64_t>;
  static void Add(Count* count, uint64_t by) {
    if (by > 0) count->fetch_add(by, std::memory_order_relaxed);
  }

  static constexpr size_t kOutcomes = static_cast<size_t>(Outcome::kOther) + 1;
  static constexpr size_t kTransports = 3;
  std::array<Count, kOutcomes> gets_{};  // by outcome
  Count puts_{0}, put_failures_{0};
  std::array<Count, kTransports> got_bytes_{}, put_bytes_{};
  Count retries_{0}, reconnects_{0}, transport_fallbacks_{0};
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_COUNTERS_H_
