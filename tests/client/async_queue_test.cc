#include "client/async_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <deque>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "tests/support/manual_clock.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Keeps tasks until the test runs them.
class ManualExecutor final : public Executor {
 public:
  bool Submit(absl::AnyInvocable<void() &&> task) override {
    tasks.push_back(std::move(task));
    return true;
  }
  void RunAll() {
    while (!tasks.empty()) {
      absl::AnyInvocable<void() &&> task = std::move(tasks.front());
      tasks.pop_front();
      std::move(task)();
    }
  }
  std::deque<absl::AnyInvocable<void() &&>> tasks;
};

class AsyncQueueTest : public ::testing::Test {
 protected:
  void Make(AsyncQueue::Options options) {
    auto queue = AsyncQueue::Create(options, &executor_, &clock_);
    ASSERT_TRUE(queue.ok()) << queue.status();
    queue_ = *std::move(queue);
  }
  AsyncQueueTest() { Make({.threads = 1, .waiting_max = 8}); }
  // Close waits for what the executor still has of the queue.
  ~AsyncQueueTest() override { executor_.RunAll(); }

  AsyncQueue::Operation Op(Priority priority, int tag, int timeout_ms = 1000) {
    return {.priority = priority,
            .deadline = clock_.Now() + milliseconds(timeout_ms),
            .keys = 2,
            .run =
                [this, tag](milliseconds left) {
                  ran_.push_back(tag);
                  left_.push_back(left);
                  return std::vector<absl::Status>(2);
                },
            .late_result = absl::NotFoundError("late")};
  }
  OperationId Submit(Priority priority, int tag, int timeout_ms = 1000) {
    auto id = queue_->Submit(Op(priority, tag, timeout_ms));
    EXPECT_TRUE(id.ok()) << id.status();
    return *id;
  }
  bool Readable() const {
    pollfd fd{queue_->event_fd(), POLLIN, 0};
    return poll(&fd, 1, 0) == 1;
  }

  ManualClock clock_;
  ManualExecutor executor_;
  std::unique_ptr<AsyncQueue> queue_;
  std::vector<int> ran_;
  std::vector<milliseconds> left_;
};

TEST_F(AsyncQueueTest, IdsStartAtOneAndAreNeverUsedAgain) {
  EXPECT_EQ(Submit(Priority::kGet, 0), OperationId{1});
  EXPECT_EQ(Submit(Priority::kPeek, 0), OperationId{2});
  executor_.RunAll();
  queue_->Drain();
  EXPECT_EQ(Submit(Priority::kGet, 0), OperationId{3});
}

TEST_F(AsyncQueueTest, AnOperationCompletesOnceWithItsResults) {
  const OperationId id = Submit(Priority::kGet, 0);
  clock_.Advance(milliseconds(300));
  executor_.RunAll();
  const std::vector<Completion> done = queue_->Drain();
  ASSERT_THAT(done, SizeIs(1));
  EXPECT_EQ(done[0].id, id);
  EXPECT_TRUE(done[0].status.ok());
  EXPECT_THAT(done[0].results, SizeIs(2));
  EXPECT_THAT(left_, ElementsAre(milliseconds(700)));
  EXPECT_THAT(queue_->Drain(), IsEmpty());
}

TEST_F(AsyncQueueTest, TheDescriptorIsReadableUntilDrained) {
  EXPECT_FALSE(Readable());
  Submit(Priority::kGet, 0);
  Submit(Priority::kGet, 0);
  EXPECT_FALSE(Readable());
  executor_.RunAll();
  EXPECT_TRUE(Readable());
  EXPECT_TRUE(Readable());
  EXPECT_THAT(queue_->Drain(), SizeIs(2));
  EXPECT_FALSE(Readable());
}

TEST_F(AsyncQueueTest, WhatWaitsGoesByPriorityThenAge) {
  Submit(Priority::kPut, 41);
  Submit(Priority::kGet, 31);
  Submit(Priority::kPrefetch, 21);
  Submit(Priority::kPeek, 11);
  Submit(Priority::kPeek, 12);
  Submit(Priority::kGet, 32);
  executor_.RunAll();
  EXPECT_THAT(ran_, ElementsAre(11, 12, 21, 31, 32, 41));
}

TEST_F(AsyncQueueTest, PutsLeaveOneThreadToTheOthers) {
  Make({.threads = 2, .waiting_max = 8});
  AsyncQueue::Operation put = Op(Priority::kPut, 1);
  put.run = [this](milliseconds) {
    // The other thread, while this put runs: it takes the peek and leaves the put.
    Submit(Priority::kPut, 2);
    Submit(Priority::kPeek, 3);
    executor_.RunAll();
    ran_.push_back(1);
    return std::vector<absl::Status>(2);
  };
  ASSERT_TRUE(queue_->Submit(std::move(put)).ok());
  executor_.RunAll();
  EXPECT_THAT(ran_, ElementsAre(3, 1, 2));
  EXPECT_THAT(queue_->Drain(), SizeIs(3));
}

TEST_F(AsyncQueueTest, AnOperationThatComesTooLateDoesNotRun) {
  const OperationId id = Submit(Priority::kGet, 1, 100);
  clock_.Advance(milliseconds(100));
  executor_.RunAll();
  EXPECT_THAT(ran_, IsEmpty());
  const std::vector<Completion> done = queue_->Drain();
  ASSERT_THAT(done, SizeIs(1));
  EXPECT_EQ(done[0].id, id);
  EXPECT_EQ(done[0].status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(done[0].results, ElementsAre(absl::NotFoundError("late"),
                                           absl::NotFoundError("late")));
}

TEST_F(AsyncQueueTest, WhatWaitsTooLongCompletesWhileEveryThreadIsBusy) {
  Submit(Priority::kGet, 1, 300);
  const OperationId early = Submit(Priority::kGet, 2, 100);
  clock_.Advance(milliseconds(99));
  queue_->ExpireDue();
  EXPECT_THAT(queue_->Drain(), IsEmpty());
  clock_.Advance(milliseconds(1));
  queue_->ExpireDue();
  const std::vector<Completion> done = queue_->Drain();
  ASSERT_THAT(done, SizeIs(1));
  EXPECT_EQ(done[0].id, early);
  executor_.RunAll();
  EXPECT_THAT(ran_, ElementsAre(1));
  EXPECT_THAT(queue_->Drain(), SizeIs(1));
}

TEST_F(AsyncQueueTest, TheQueueIsBounded) {
  for (int i = 0; i < 8; ++i) Submit(Priority::kGet, i);
  EXPECT_EQ(queue_->Submit(Op(Priority::kPeek, 9)).status().code(),
            absl::StatusCode::kResourceExhausted);
  executor_.RunAll();
  EXPECT_THAT(queue_->Drain(), SizeIs(8));
  Submit(Priority::kGet, 10);
}

TEST_F(AsyncQueueTest, ExpiredOperationsMakeRoom) {
  for (int i = 0; i < 8; ++i) Submit(Priority::kGet, i, 10);
  clock_.Advance(milliseconds(10));
  queue_->ExpireDue();
  Submit(Priority::kGet, 9);
  executor_.RunAll();
  EXPECT_THAT(ran_, ElementsAre(9));
}

TEST_F(AsyncQueueTest, AfterCloseNothingRunsOrCompletes) {
  Submit(Priority::kGet, 1);
  executor_.RunAll();
  auto left = queue_->Submit(Op(Priority::kGet, 2));
  ASSERT_TRUE(left.ok());
  executor_.RunAll();
  queue_->Close();
  queue_->Close();
  EXPECT_THAT(queue_->Drain(), IsEmpty());
  EXPECT_EQ(queue_->event_fd(), -1);
  EXPECT_EQ(queue_->Submit(Op(Priority::kGet, 3)).status().code(),
            absl::StatusCode::kFailedPrecondition);
  queue_->ExpireDue();
  EXPECT_THAT(ran_, ElementsAre(1, 2));
}

TEST(AsyncQueueThreads, CloseWaitsForWhatRunsAndDropsWhatWaits) {
  ThreadPool pool({.name = "test", .threads = 1, .queue_tasks_max = 1});
  auto queue = AsyncQueue::Create({.threads = 1, .waiting_max = 8}, &pool, Clock::Real());
  ASSERT_TRUE(queue.ok());
  absl::Notification running, closing;
  bool finished = false;
  const auto slow = [&](milliseconds) {
    running.Notify();
    closing.WaitForNotification();
    finished = true;
    return std::vector<absl::Status>(1);
  };
  const Instant deadline = Clock::Real()->Now() + std::chrono::minutes(1);
  ASSERT_TRUE((*queue)->Submit({Priority::kGet, deadline, 1, slow, {}}).ok());
  running.WaitForNotification();
  ASSERT_TRUE((*queue)
                  ->Submit({Priority::kGet, deadline, 1,
                            [](milliseconds) -> std::vector<absl::Status> {
                              ADD_FAILURE() << "ran after Close";
                              return {};
                            },
                            {}})
                  .ok());
  std::thread closer([&] { (*queue)->Close(); });
  // The first may only end once Close has begun, which shows in what Submit answers.
  const auto drop = [](milliseconds) { return std::vector<absl::Status>(1); };
  absl::Status refused;
  while (!absl::IsFailedPrecondition(refused)) {
    refused = (*queue)->Submit({Priority::kGet, deadline, 1, drop, {}}).status();
  }
  closing.Notify();
  closer.join();
  EXPECT_TRUE(finished);
}

}  // namespace
}  // namespace kvasir
