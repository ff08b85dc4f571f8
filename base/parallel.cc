#include "base/parallel.h"

#include <algorithm>
#include <atomic>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvasir {
namespace {

// Outlives the call: a task that starts late finds nothing to do, and only that.
class Shared {
 public:
  Shared(size_t count, size_t holders, absl::FunctionRef<void(size_t)> work)
      : count_(count), work_(work), holders_(holders), left_(count) {}

  // Does items until none is unclaimed.
  void Work() {
    size_t done = 0;
    for (size_t i = next_.fetch_add(1, std::memory_order_relaxed); i < count_;
         i = next_.fetch_add(1, std::memory_order_relaxed)) {
      work_(i);
      ++done;
    }
    if (done == 0) return;
    absl::MutexLock lock(&mu_);
    left_ -= done;
  }
  void Wait() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](size_t* left) { return *left == 0; }, &left_));
  }
  void Drop(size_t holders) {
    // Acquire and release: whoever is last sees what the others did.
    if (holders_.fetch_sub(holders, std::memory_order_acq_rel) == holders) delete this;
  }

 private:
  const size_t count_;
  const absl::FunctionRef<void(size_t)> work_;  // valid while an item is unclaimed
  std::atomic<size_t> next_{0};  // relaxed: mu_ orders what the items did
  std::atomic<size_t> holders_;
  absl::Mutex mu_;
  size_t left_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

void ParallelFor(const ParallelOptions& options, size_t count,
                 absl::FunctionRef<void(size_t)> work) {
  const size_t helpers = options.executor == nullptr || count < 2
                             ? 0
                             : std::min(options.helpers_max, count - 1);
  if (helpers == 0) {
    for (size_t i = 0; i < count; ++i) work(i);
    return;
  }
  auto* const shared = new Shared(count, 1 + helpers, work);
  size_t started = 0;
  while (started < helpers && options.executor->Submit([shared] {
    shared->Work();
    shared->Drop(1);
  })) {
    ++started;
  }
  shared->Work();
  shared->Wait();
  shared->Drop(1 + helpers - started);
}

}  // namespace kvasir
