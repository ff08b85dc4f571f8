#ifndef KVASIR_TESTS_SUPPORT_MANUAL_EXECUTOR_H_
#define KVASIR_TESTS_SUPPORT_MANUAL_EXECUTOR_H_

#include <cstddef>
#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "base/executor.h"

namespace kvasir {

// Runs its tasks when the test says so, on the thread that says it. Thread-safe.
class ManualExecutor final : public Executor {
 public:
  explicit ManualExecutor(size_t tasks_max = 1024) : tasks_max_(tasks_max) {}

  bool Submit(absl::AnyInvocable<void() &&> task) override ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (tasks_.size() >= tasks_max_) return false;
    tasks_.push_back(std::move(task));
    return true;
  }

  // Runs the oldest task. False if there is none.
  bool RunOne() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::AnyInvocable<void() &&> task;
    {
      absl::MutexLock lock(&mu_);
      if (tasks_.empty()) return false;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    std::move(task)();
    return true;
  }
  // Until there is none, with what they submit themselves.
  void RunAll() {
    while (RunOne()) {
    }
  }
  // As a process that dies: they never run.
  void DropAll() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    tasks_.clear();
  }

 private:
  const size_t tasks_max_;
  absl::Mutex mu_;
  std::deque<absl::AnyInvocable<void() &&>> tasks_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_SUPPORT_MANUAL_EXECUTOR_H_
