#ifndef KVASIR_CLIENT_BREAKER_H_
#define KVASIR_CLIENT_BREAKER_H_

#include <atomic>
#include <chrono>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"

namespace kvasir {

// Keeps calls away from a node that does not answer. Closed lets every call through.
// Enough failures in a row open it: calls are turned away without I/O until a cooldown
// has passed; then one call goes through as a probe, and what comes of it closes the
// breaker or doubles the cooldown. Owns no clock: time is an argument. Thread-safe;
// Admit takes no lock unless it admits a probe.
class Breaker {
 public:
  struct Options {
    int failures_to_open = 3;
    std::chrono::milliseconds cooldown_min{250};
    std::chrono::milliseconds cooldown_max{10'000};
    uint64_t jitter_seed = 1;
  };
  explicit Breaker(const Options& options);

  // Whether a call may go to the node. A probe that never reports costs nothing but
  // time: the next is admitted a cooldown later.
  bool Admit(Instant now) ABSL_LOCKS_EXCLUDED(mu_);

  // The node answered, whatever it said.
  void OnSuccess() ABSL_LOCKS_EXCLUDED(mu_);
  // It did not: no connection, or silence for as long as a patient call waits.
  void OnFailure(Instant now) ABSL_LOCKS_EXCLUDED(mu_);

  bool open() const { return retry_at_ns_.load(std::memory_order_acquire) != kClosed; }

 private:
  static constexpr int64_t kClosed = 0;
  void CoolDownLocked(Instant now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  // kClosed, or when the next probe is due. Written under mu_; Admit's acquire load
  // pairs with the release stores there.
  std::atomic<int64_t> retry_at_ns_{kClosed};
  // Failures since the last success. OnSuccess's relaxed load only spares it the lock:
  // a stale zero leaves one failure counted that a later success clears.
  std::atomic<int> failures_{0};

  absl::Mutex mu_;
  std::chrono::milliseconds cooldown_ ABSL_GUARDED_BY(mu_);
  uint64_t jitter_state_ ABSL_GUARDED_BY(mu_);
};

// Lets retries be at most a tenth of the calls, plus a small burst: an overloaded node is
// not drowned in second attempts. Thread-safe.
class RetryBudget {
 public:
  void OnCall();
  // Takes one retry out of the budget; false if there is none left.
  bool Take();

 private:
  static constexpr int kCostTenths = 10;
  static constexpr int kBurstTenths = 100;
  // In tenths of a retry. Relaxed everywhere: it guards no other memory.
  std::atomic<int> tenths_{kBurstTenths};
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_BREAKER_H_
