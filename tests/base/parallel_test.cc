#include "base/parallel.h"

#include <atomic>
#include <vector>

#include "gtest/gtest.h"

namespace kvasir {
namespace {

// Accepts tasks and runs none of them before its end.
class LateExecutor final : public Executor {
 public:
  ~LateExecutor() override {
    for (auto& task : tasks_) std::move(task)();
  }
  bool Submit(absl::AnyInvocable<void() &&> task) override {
    if (tasks_.size() == 3) return false;
    tasks_.push_back(std::move(task));
    return true;
  }

 private:
  std::vector<absl::AnyInvocable<void() &&>> tasks_;
};

TEST(ParallelFor, DoesEachItemOnce) {
  ThreadPool pool({.name = "parallel", .threads = 4});
  std::vector<std::atomic<int>> done(1000);
  ParallelFor({.executor = &pool, .helpers_max = 4}, done.size(),
              [&](size_t i) { ++done[i]; });
  for (const auto& count : done) EXPECT_EQ(count, 1);
}

TEST(ParallelFor, NeedsNoExecutor) {
  int done = 0;
  ParallelFor({}, 10, [&](size_t) { ++done; });
  EXPECT_EQ(done, 10);
}

TEST(ParallelFor, ReturnsThoughItsTasksNeverStart) {
  LateExecutor late;
  int done = 0;
  ParallelFor({.executor = &late, .helpers_max = 8}, 10, [&](size_t) { ++done; });
  EXPECT_EQ(done, 10);
}

TEST(ParallelFor, TasksOfThePoolMayUseIt) {
  ThreadPool pool({.name = "parallel", .threads = 2});
  std::atomic<int> done{0};
  ParallelFor({.executor = &pool, .helpers_max = 2}, 8, [&](size_t) {
    ParallelFor({.executor = &pool, .helpers_max = 2}, 8, [&](size_t) { ++done; });
  });
  EXPECT_EQ(done, 64);
}

}  // namespace
}  // namespace kvasir
