#ifndef KVASIR_CLIENT_FANOUT_H_
#define KVASIR_CLIENT_FANOUT_H_

#include <cstddef>

#include "absl/functional/function_ref.h"
#include "base/executor.h"

namespace kvasir {

// Runs run(0) .. run(parts - 1), in parallel where `executor` has room, and returns when
// all have returned. The caller's thread does its share, so that one part, or a full
// executor, means no other thread at all.
void FanOut(Executor* executor, size_t parts, absl::FunctionRef<void(size_t part)> run);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_FANOUT_H_
