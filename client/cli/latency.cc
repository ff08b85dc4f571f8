#include "client/cli/latency.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace kvasir {

size_t LatencyHistogram::BucketOf(uint64_t ns) {
  // Below 2 * kSteps a bucket is one value; above, an octave has kSteps buckets.
  const int shift = std::max(0, static_cast<int>(std::bit_width(ns)) - kStepBits - 1);
  return static_cast<size_t>(shift) * kSteps + static_cast<size_t>(ns >> shift);
}

uint64_t LatencyHistogram::UpperOf(size_t bucket) {
  const size_t shift = bucket < 2 * kSteps ? 0 : bucket / kSteps - 1;
  const uint64_t step = bucket - shift * kSteps;
  return ((step + 1) << shift) - 1;
}

void LatencyHistogram::Add(std::chrono::nanoseconds duration) {
  ++counts_[BucketOf(static_cast<uint64_t>(std::max<int64_t>(0, duration.count())))];
  ++count_;
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
}

std::chrono::nanoseconds LatencyHistogram::Quantile(double fraction) const {
  const auto rank =
      static_cast<uint64_t>(std::ceil(fraction * static_cast<double>(count_)));
  uint64_t below = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    below += counts_[i];
    if (below >= rank && below > 0) {
      return std::chrono::nanoseconds(static_cast<int64_t>(UpperOf(i)));
    }
  }
  return std::chrono::nanoseconds(0);
}

Percentiles LatencyHistogram::percentiles() const {
  const auto us = [this](double fraction) {
    return std::round(static_cast<double>(Quantile(fraction).count()) / 100) / 10;
  };
  return {us(0.50), us(0.95), us(0.99)};
}

// The clock is read under the lock, so that the spans of two threads never overlap.
Instant BusyTime::Enter() {
  absl::MutexLock lock(&mu_);
  const Instant now = clock_->Now();
  if (inside_++ == 0) busy_since_ = now;
  return now;
}

Instant BusyTime::Leave() {
  absl::MutexLock lock(&mu_);
  const Instant now = clock_->Now();
  if (--inside_ == 0) total_ += now - busy_since_;
  return now;
}

std::chrono::nanoseconds BusyTime::total() const {
  absl::MutexLock lock(&mu_);
  return total_;
}

double GigabytesPerSecond(uint64_t bytes, std::chrono::nanoseconds duration) {
  if (duration.count() <= 0) return 0;
  return static_cast<double>(bytes) / static_cast<double>(duration.count());
}

}  // namespace kvasir
