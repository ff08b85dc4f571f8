#ifndef KVASIR_CLIENT_ASYNC_QUEUE_H_
#define KVASIR_CLIENT_ASYNC_QUEUE_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/fd.h"

namespace kvasir {

// Unique for the life of its queue, from 1.
enum class OperationId : uint64_t {};

// The order in which waiting operations start: what an engine's scheduler waits for comes
// before what it may need, and writes come last.
enum class Priority : uint8_t { kPeek, kPrefetch, kGet, kPut };

struct Completion {
  OperationId id{};
  // OK if it ran, whatever became of its keys; DeadlineExceeded if its time was up first.
  absl::Status status;
  std::vector<absl::Status> results;  // one a key, in the order of the operation
};

// Operations that wait, run and complete: every accepted one exactly once, at the latest
// when its deadline is noticed (ExpireDue), unless Close comes first. What waits goes by
// priority, then by age; puts never take the last thread, so that a lookup does not wait
// for one. Thread-safe; Submit neither blocks nor does I/O.
class AsyncQueue {
 public:
  struct Options {
    size_t threads = 4;           // operations that run at once
    size_t waiting_max = 4'096;
  };
  struct Operation {
    Priority priority = Priority::kGet;
    Instant deadline;
    size_t keys = 0;
    // One status a key. `left` is the time to the deadline, and positive.
    absl::AnyInvocable<std::vector<absl::Status>(std::chrono::milliseconds left)> run;
    absl::Status late_result;  // of every key if it never ran
  };

  // An error if there is no descriptor to be had. `executor` must take options.threads
  // tasks at any time; it and `clock` must outlive the queue.
  static absl::StatusOr<std::unique_ptr<AsyncQueue>> Create(const Options& options,
                                                            Executor* executor,
                                                            const Clock* clock);
  ~AsyncQueue();  // Close()

  // ResourceExhausted if waiting_max operations wait; FailedPrecondition once closed. The
  // operation is dropped then and never completes.
  absl::StatusOr<OperationId> Submit(Operation operation) ABSL_LOCKS_EXCLUDED(mu_);

  // Readable while there are completions to drain; -1 once closed. Owned by the queue.
  int event_fd() const ABSL_LOCKS_EXCLUDED(mu_);
  // What has completed since the last call; nothing once closed.
  std::vector<Completion> Drain() ABSL_LOCKS_EXCLUDED(mu_);

  // Completes the operations that still wait and whose deadline has passed.
  void ExpireDue() ABSL_LOCKS_EXCLUDED(mu_);

  // Drops what waits, without completions, and waits for what runs. Idempotent.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Waiting {
    OperationId id{};
    Operation operation;
  };
  static constexpr size_t kPriorities = 4;

  AsyncQueue(const Options& options, Executor* executor, const Clock* clock,
             UniqueFd event_fd);
  void Work() ABSL_LOCKS_EXCLUDED(mu_);
  bool TakeLocked(Waiting* next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool MayStartPutLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Run(Waiting next) ABSL_LOCKS_EXCLUDED(mu_);
  void Complete(Completion completion) ABSL_LOCKS_EXCLUDED(mu_);
  static Completion Late(Waiting& late);

  const Options options_;
  Executor* const executor_;
  const Clock* const clock_;

  mutable absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  UniqueFd event_fd_ ABSL_GUARDED_BY(mu_);
  uint64_t last_id_ ABSL_GUARDED_BY(mu_) = 0;
  std::array<std::deque<Waiting>, kPriorities> waiting_ ABSL_GUARDED_BY(mu_);
  size_t waiting_count_ ABSL_GUARDED_BY(mu_) = 0;
  // No operation that waits is due before this.
  Instant next_due_ ABSL_GUARDED_BY(mu_) = Instant::max();
  size_t workers_ ABSL_GUARDED_BY(mu_) = 0;  // tasks that the executor has of us
  size_t puts_running_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Completion> completed_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_ASYNC_QUEUE_H_
