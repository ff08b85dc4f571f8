#include "base/deadlock_detection.h"

#include "absl/synchronization/mutex.h"

namespace kvasir {

void StopDeadlockDetection() {
#ifdef NDEBUG
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
}

}  // namespace kvasir
