#include "client/node_client_deadline.h"

#include <algorithm>

namespace kvasir {

gpr_timespec ToGrpcDeadline(const Clock& clock, Instant deadline) {
  const auto left = std::max(deadline - clock.Now(), BootClock::duration::zero());
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(left.count(), GPR_TIMESPAN));
}

}  // namespace kvasir
