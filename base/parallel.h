#ifndef KVASIR_BASE_PARALLEL_H_
#define KVASIR_BASE_PARALLEL_H_

#include <cstddef>

#include "absl/functional/function_ref.h"
#include "base/executor.h"

namespace kvasir {

struct ParallelOptions {
  Executor* executor = nullptr;  // null: the caller does it all
  size_t helpers_max = 0;        // tasks beside the caller
};

// Runs `work(i)` once for each i in [0, count), on the caller's thread and as many tasks
// of the executor as it takes; returns when all are done. Makes progress also where the
// executor is full, or where the caller is a task of it.
// REQUIRES: `work` may run in several threads at once.
void ParallelFor(const ParallelOptions& options, size_t count,
                 absl::FunctionRef<void(size_t)> work);

}  // namespace kvasir

#endif  // KVASIR_BASE_PARALLEL_H_
