#include "client/fanout.h"

#include "absl/synchronization/blocking_counter.h"

namespace kvasir {

void FanOut(Executor* executor, size_t parts, absl::FunctionRef<void(size_t part)> run) {
  if (parts == 0) return;
  absl::BlockingCounter others(static_cast<int>(parts) - 1);
  size_t refused_from = parts;
  for (size_t part = 1; part < parts; ++part) {
    const bool accepted = executor->Submit([part, run, &others] {
      run(part);
      others.DecrementCount();
    });
    if (accepted) continue;
    refused_from = part;
    break;
  }
  run(0);
  for (size_t part = refused_from; part < parts; ++part) {
    run(part);
    others.DecrementCount();
  }
  others.Wait();
}

}  // namespace kvasir
