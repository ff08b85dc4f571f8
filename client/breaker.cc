#include "client/breaker.h"

#include <algorithm>

namespace kvasir {
namespace {

// SplitMix64: jitter needs no better.
uint64_t NextRandom(uint64_t* state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

Breaker::Breaker(const Options& options)
    : options_(options),
      cooldown_(options.cooldown_min),
      jitter_state_(options.jitter_seed) {}

bool Breaker::Admit(Instant now) {
  const int64_t retry_at = retry_at_ns_.load(std::memory_order_acquire);
  if (retry_at == kClosed) return true;
  if (now.time_since_epoch().count() < retry_at) return false;
  absl::MutexLock lock(&mu_);
  // Another call may have taken the probe, or closed the breaker, in the meantime.
  const int64_t current = retry_at_ns_.load(std::memory_order_relaxed);
  if (current == kClosed) return true;
  if (now.time_since_epoch().count() < current) return false;
  CoolDownLocked(now);
  return true;
}

void Breaker::OnSuccess() {
  if (!open() && failures_.load(std::memory_order_relaxed) == 0) return;
  absl::MutexLock lock(&mu_);
  failures_.store(0, std::memory_order_relaxed);
  cooldown_ = options_.cooldown_min;
  retry_at_ns_.store(kClosed, std::memory_order_release);
}

void Breaker::OnFailure(Instant now) {
  absl::MutexLock lock(&mu_);
  const int failures = failures_.load(std::memory_order_relaxed) + 1;
  failures_.store(failures, std::memory_order_relaxed);
  if (open()) {
    cooldown_ = std::min(2 * cooldown_, options_.cooldown_max);
  } else if (failures < options_.failures_to_open) {
    return;
  }
  CoolDownLocked(now);
}

// Between half and all of the cooldown, so that clients do not come back in step.
void Breaker::CoolDownLocked(Instant now) {
  const int64_t full = BootClock::duration(cooldown_).count();
  const int64_t wait = full / 2 + static_cast<int64_t>(NextRandom(&jitter_state_) %
                                                       static_cast<uint64_t>(full / 2 + 1));
  retry_at_ns_.store(now.time_since_epoch().count() + wait, std::memory_order_release);
}

void RetryBudget::OnCall() {
  // Racing calls may add one tenth too many, which does no harm.
  if (tenths_.load(std::memory_order_relaxed) < kBurstTenths) {
    tenths_.fetch_add(1, std::memory_order_relaxed);
  }
}

bool RetryBudget::Take() {
  int tenths = tenths_.load(std::memory_order_relaxed);
  while (tenths >= kCostTenths) {
    if (tenths_.compare_exchange_weak(tenths, tenths - kCostTenths,
                                      std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

}  // namespace kvasir
