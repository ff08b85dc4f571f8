#include "client/async_queue.h"

#include <fmt/core.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

// Neither can fail in a way that matters: the counter is far from its limit, and it is
// already zero if there is nothing to read.
void Raise(int event_fd) {
  if (eventfd_write(event_fd, 1) != 0) KV_CHECK(errno == EAGAIN);
}
void Lower(int event_fd) {
  eventfd_t count = 0;
  if (eventfd_read(event_fd, &count) != 0) KV_CHECK(errno == EAGAIN);
}

}  // namespace

absl::StatusOr<std::unique_ptr<AsyncQueue>> AsyncQueue::Create(const Options& options,
                                                               Executor* executor,
                                                               const Clock* clock) {
  KV_CHECK(options.threads > 0);
  UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "make async queue: eventfd");
  return std::unique_ptr<AsyncQueue>(
      new AsyncQueue(options, executor, clock, std::move(fd)));
}

AsyncQueue::AsyncQueue(const Options& options, Executor* executor, const Clock* clock,
                       UniqueFd event_fd)
    : options_(options),
      executor_(executor),
      clock_(clock),
      event_fd_(std::move(event_fd)) {}

AsyncQueue::~AsyncQueue() { Close(); }

absl::StatusOr<OperationId> AsyncQueue::Submit(Operation operation) {
  OperationId id{};
  {
    absl::MutexLock lock(&mu_);
    if (closed_) return absl::FailedPreconditionError("submit: the queue is closed");
    if (waiting_count_ >= options_.waiting_max) {
      return absl::ResourceExhaustedError(
          fmt::format("submit: {} operations wait already", waiting_count_));
    }
    id = OperationId{++last_id_};
    next_due_ = std::min(next_due_, operation.deadline);
    const auto priority = static_cast<size_t>(operation.priority);
    waiting_[priority].push_back({id, std::move(operation)});
    ++waiting_count_;
    if (workers_ >= options_.threads) return id;
    ++workers_;
  }
  KV_CHECK(executor_->Submit([this] { Work(); }));
  return id;
}

// Runs operations until none may start.
void AsyncQueue::Work() {
  while (true) {
    Waiting next;
    {
      absl::MutexLock lock(&mu_);
      if (!TakeLocked(&next)) {
        --workers_;
        return;
      }
    }
    Run(std::move(next));
  }
}

bool AsyncQueue::TakeLocked(Waiting* next) {
  for (size_t priority = 0; priority < kPriorities; ++priority) {
    std::deque<Waiting>& queue = waiting_[priority];
    if (queue.empty()) continue;
    const bool put = priority == static_cast<size_t>(Priority::kPut);
    if (put && !MayStartPutLocked()) continue;
    *next = std::move(queue.front());
    queue.pop_front();
    --waiting_count_;
    if (put) ++puts_running_;
    return true;
  }
  return false;
}

bool AsyncQueue::MayStartPutLocked() const {
  return puts_running_ + 1 < options_.threads || options_.threads == 1;
}

void AsyncQueue::Run(Waiting next) {
  const bool put = next.operation.priority == Priority::kPut;
  const auto left =
      std::chrono::floor<milliseconds>(next.operation.deadline - clock_->Now());
  Completion completion;
  if (left.count() > 0) {
    completion.id = next.id;
    completion.results = next.operation.run(left);
  } else {
    completion = Late(next);
  }
  // What the operation holds goes before its completion shows.
  next.operation.run = nullptr;
  Complete(std::move(completion));
  if (!put) return;
  absl::MutexLock lock(&mu_);
  --puts_running_;
}

Completion AsyncQueue::Late(Waiting& late) {
  return {late.id, absl::DeadlineExceededError("run operation: its time was up before"),
          std::vector<absl::Status>(late.operation.keys, late.operation.late_result)};
}

void AsyncQueue::Complete(Completion completion) {
  absl::MutexLock lock(&mu_);
  if (closed_) return;
  completed_.push_back(std::move(completion));
  // Under the lock because Close closes it; an eventfd never waits.
  if (completed_.size() == 1) Raise(event_fd_.get());
}

int AsyncQueue::event_fd() const {
  absl::MutexLock lock(&mu_);
  return event_fd_.get();
}

std::vector<Completion> AsyncQueue::Drain() {
  std::vector<Completion> drained;
  absl::MutexLock lock(&mu_);
  if (completed_.empty()) return drained;
  Lower(event_fd_.get());
  drained.swap(completed_);
  return drained;
}

void AsyncQueue::ExpireDue() {
  const Instant now = clock_->Now();
  std::vector<Waiting> due;
  {
    absl::MutexLock lock(&mu_);
    if (now < next_due_) return;
    next_due_ = Instant::max();
    for (std::deque<Waiting>& queue : waiting_) {
      const auto later = std::stable_partition(
          queue.begin(), queue.end(),
          [now](const Waiting& one) { return one.operation.deadline > now; });
      due.insert(due.end(), std::make_move_iterator(later),
                 std::make_move_iterator(queue.end()));
      queue.erase(later, queue.end());
      for (const Waiting& one : queue) {
        next_due_ = std::min(next_due_, one.operation.deadline);
      }
    }
    waiting_count_ -= due.size();
  }
  for (Waiting& late : due) {
    Completion completion = Late(late);
    late.operation.run = nullptr;
    Complete(std::move(completion));
  }
}

void AsyncQueue::Close() {
  std::array<std::deque<Waiting>, kPriorities> dropped;
  absl::MutexLock lock(&mu_);
  closed_ = true;
  dropped.swap(waiting_);
  waiting_count_ = 0;
  const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return workers_ == 0; };
  mu_.Await(absl::Condition(&idle));
  completed_.clear();
  event_fd_.reset();
}

}  // namespace kvasir
