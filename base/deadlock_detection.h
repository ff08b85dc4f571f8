#ifndef KVASIR_BASE_DEADLOCK_DETECTION_H_
#define KVASIR_BASE_DEADLOCK_DETECTION_H_

namespace kvasir {

// Debian builds Abseil with its search for deadlocks. At every absl::Mutex::Lock, and
// gRPC's locks are such, it takes a spin lock that the whole process shares. This turns
// the search off in optimized builds, and leaves it on in all others, where tests want
// it. Programs call it first. Thread-safe; idempotent.
void StopDeadlockDetection();

}  // namespace kvasir

#endif  // KVASIR_BASE_DEADLOCK_DETECTION_H_
