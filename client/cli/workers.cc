#include "client/cli/workers.h"

#include "base/check.h"
#include "base/executor.h"

namespace kvasir {

void RunWorkers(size_t count, absl::FunctionRef<void(size_t)> work) {
  KV_CHECK(count >= 1 && count <= kMaxWorkers);
  if (count == 1) return work(0);
  ThreadPool pool({.name = "kvasir-worker", .threads = count, .queue_tasks_max = count});
  for (size_t i = 0; i < count; ++i) KV_CHECK(pool.Submit([work, i] { work(i); }));
}  // The pool's destructor waits for all of them.

}  // namespace kvasir
