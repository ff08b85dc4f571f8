#include "base/clock.h"

#include <ctime>

#include "base/check.h"

namespace kvasir {
namespace {

class RealClock final : public Clock {
 public:
  Instant Now() const override {
    timespec now;
    KV_CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
    return Instant(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
  }
};

}  // namespace

const Clock* Clock::Real() {
  static const RealClock* const clock = new RealClock;
  return clock;
}

}  // namespace kvasir
