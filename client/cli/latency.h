#ifndef KVASIR_CLIENT_CLI_LATENCY_H_
#define KVASIR_CLIENT_CLI_LATENCY_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"

namespace kvasir {

// Microseconds, with one decimal; 0 without a sample.
struct Percentiles {
  double p50_us = 0, p95_us = 0, p99_us = 0;
};

// A histogram of durations in fixed memory: 128 steps an octave, so a percentile is at
// most 0.8 % above the sample it stands for. Not thread-safe: one a thread, then Merge.
class LatencyHistogram {
 public:
  void Add(std::chrono::nanoseconds duration);
  void Merge(const LatencyHistogram& other);
  uint64_t count() const { return count_; }
  // Of the nearest rank. `fraction` in (0, 1].
  std::chrono::nanoseconds Quantile(double fraction) const;
  Percentiles percentiles() const;

 private:
  static constexpr int kStepBits = 7;
  static constexpr size_t kSteps = size_t{1} << kStepBits;
  static size_t BucketOf(uint64_t ns);
  // The largest value that falls into the bucket.
  static uint64_t UpperOf(size_t bucket);

  std::array<uint64_t, kSteps*(65 - kStepBits)> counts_{};
  uint64_t count_ = 0;
};

// For how long at least one thread was inside: the time a rate of several threads
// divides by. Thread-safe.
class BusyTime {
 public:
  explicit BusyTime(const Clock* clock) : clock_(clock) {}

  // Runs `work` inside and returns how long it took.
  template <typename Work>
  std::chrono::nanoseconds Measure(Work&& work) {
    const Instant start = Enter();
    work();
    return Leave() - start;
  }
  std::chrono::nanoseconds total() const;

 private:
  Instant Enter();
  Instant Leave();

  const Clock* const clock_;
  mutable absl::Mutex mu_;
  size_t inside_ ABSL_GUARDED_BY(mu_) = 0;
  Instant busy_since_ ABSL_GUARDED_BY(mu_);
  std::chrono::nanoseconds total_ ABSL_GUARDED_BY(mu_){0};
};

// 0 if nothing took no time.
double GigabytesPerSecond(uint64_t bytes, std::chrono::nanoseconds duration);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_LATENCY_H_
