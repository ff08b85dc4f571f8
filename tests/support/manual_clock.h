#ifndef KVASIR_TESTS_SUPPORT_MANUAL_CLOCK_H_
#define KVASIR_TESTS_SUPPORT_MANUAL_CLOCK_H_

#include <atomic>

#include "base/clock.h"

namespace kvasir {

// A clock that a test moves. Thread-safe.
class ManualClock final : public Clock {
 public:
  Instant Now() const override { return Instant(BootClock::duration(ns_.load())); }
  void Advance(BootClock::duration step) { ns_ += step.count(); }
  void Set(Instant now) { ns_ = now.time_since_epoch().count(); }

 private:
  std::atomic<int64_t> ns_{1'000'000'000};  // Not zero: zero hides unset instants.
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_SUPPORT_MANUAL_CLOCK_H_
