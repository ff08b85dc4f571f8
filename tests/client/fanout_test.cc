#include "client/fanout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "absl/synchronization/barrier.h"

namespace kvasir {
namespace {

using ::testing::Each;

// Takes `room` tasks and runs them on threads of their own.
class FewTasks final : public Executor {
 public:
  explicit FewTasks(int room) : room_(room) {}
  ~FewTasks() override {
    for (std::thread& thread : threads_) thread.join();
  }
  bool Submit(absl::AnyInvocable<void() &&> task) override {
    if (room_-- <= 0) return false;
    threads_.emplace_back([task = std::move(task)]() mutable { std::move(task)(); });
    return true;
  }

 private:
  int room_;
  std::vector<std::thread> threads_;
};

TEST(FanOut, OnePartRunsOnTheCallersThread) {
  std::thread::id ran_on;
  FanOut(nullptr, 1, [&](size_t) { ran_on = std::this_thread::get_id(); });
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST(FanOut, NoPartsRunNothing) {
  FanOut(nullptr, 0, [](size_t) { FAIL(); });
}

TEST(FanOut, PartsRunAtTheSameTime) {
  FewTasks executor(2);
  absl::Barrier* const all = new absl::Barrier(3);  // The last to pass deletes it.
  FanOut(&executor, 3, [&](size_t) {
    if (all->Block()) delete all;
  });
}

TEST(FanOut, EachPartRunsOnceHoweverFullTheExecutor) {
  for (int room = 0; room < 6; ++room) {
    FewTasks executor(room);
    std::array<std::atomic<int>, 5> runs{};
    FanOut(&executor, 5, [&](size_t part) { ++runs[part]; });
    EXPECT_THAT(std::vector<int>(runs.begin(), runs.end()), Each(1)) << room;
  }
}

}  // namespace
}  // namespace kvasir
