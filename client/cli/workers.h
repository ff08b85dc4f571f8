#ifndef KVASIR_CLIENT_CLI_WORKERS_H_
#define KVASIR_CLIENT_CLI_WORKERS_H_

#include <cstddef>

#include "absl/functional/function_ref.h"

namespace kvasir {

inline constexpr size_t kMaxWorkers = 128;  // as many as a session has lanes

// Runs `work(0)` to `work(count - 1)`, each in a thread of its own, and returns when all
// have returned. One worker runs on the caller's thread.
// REQUIRES: `count` in [1, kMaxWorkers].
void RunWorkers(size_t count, absl::FunctionRef<void(size_t)> work);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_WORKERS_H_
