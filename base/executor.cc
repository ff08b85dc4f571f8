#include "base/executor.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utility>

#include "absl/time/time.h"
#include "base/check.h"

namespace kvasir {
namespace {

void NameThread(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

// The calling thread alone, as Linux has it and POSIX has not. Refused it is not: only a
// lower value would be.
void StandBack(int nice) {
  if (nice != 0) (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), nice);
}

}  // namespace

ThreadPool::ThreadPool(const Options& options) : options_(options) {
  KV_CHECK(options.threads > 0);
  KV_CHECK(options.nice >= 0 && options.nice <= 19);
  for (size_t i = 0; i < options.threads; ++i) threads_.emplace_back([this] { Work(); });
}

ThreadPool::~ThreadPool() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

bool ThreadPool::Submit(absl::AnyInvocable<void() &&> task) {
  absl::MutexLock lock(&mu_);
  if (stopping_ || queue_.size() >= options_.queue_tasks_max) return false;
  queue_.push_back(std::move(task));
  return true;
}

void ThreadPool::Work() {
  NameThread(options_.name);
  StandBack(options_.nice);
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return stopping_ || !queue_.empty();
  };
  while (true) {
    absl::AnyInvocable<void() &&> task;
    {
      absl::MutexLock lock(&mu_, absl::Condition(&ready));
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    std::move(task)();
  }
}

Ticker::Ticker(std::string name, std::chrono::milliseconds interval,
               absl::AnyInvocable<void()> step)
    : name_(std::move(name)),
      interval_(interval),
      step_(std::move(step)),
      thread_([this] { Loop(); }) {}

Ticker::~Ticker() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.join();
}

void Ticker::Loop() {
  NameThread(name_);
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      if (interval_.count() > 0) {
        mu_.AwaitWithTimeout(absl::Condition(&stopping_), absl::FromChrono(interval_));
      }
      if (stopping_) return;
    }
    step_();
  }
}

}  // namespace kvasir
