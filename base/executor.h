#ifndef KVASIR_BASE_EXECUTOR_H_
#define KVASIR_BASE_EXECUTOR_H_

#include <chrono>
#include <cstddef>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

// The only place where threads are made. Everything below service/node and
// client/client is Step(now), a Poll to be called in a loop, or tasks on an Executor.
namespace kvasir {

// Runs tasks, somewhere, later. Thread-safe.
class Executor {
 public:
  virtual ~Executor() = default;
  // Accepts `task`, or returns false if the executor is full or stopping; then
  // `task` has not run and never will.
  [[nodiscard]] virtual bool Submit(absl::AnyInvocable<void() &&> task) = 0;
};

// A fixed number of threads over one bounded queue. The destructor runs what was
// accepted, then joins.
class ThreadPool final : public Executor {
 public:
  struct Options {
    std::string name;  // thread name: at most 15 bytes are kept
    size_t threads = 1;
    size_t queue_tasks_max = 1024;
    // How far its threads stand back where processors are short, as nice(1) has it: 0 not
    // at all, 19 as far as can be.
    int nice = 0;
  };
  explicit ThreadPool(const Options& options);
  ~ThreadPool() override;
  bool Submit(absl::AnyInvocable<void() &&> task) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Work() ABSL_LOCKS_EXCLUDED(mu_);

  const Options options_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<absl::AnyInvocable<void() &&>> queue_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> threads_;  // last: joined before the queue goes
};

// A thread that runs `step` again and again until destroyed, which stops and joins
// it. With a positive `interval` it waits that long between steps (the destructor
// cuts the wait short); with zero, `step` itself must wait for a bounded time.
class Ticker final {
 public:
  Ticker(std::string name, std::chrono::milliseconds interval,
         absl::AnyInvocable<void()> step);
  ~Ticker();
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

 private:
  void Loop();

  const std::string name_;
  const std::chrono::milliseconds interval_;
  absl::AnyInvocable<void()> step_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace kvasir

#endif  // KVASIR_BASE_EXECUTOR_H_
