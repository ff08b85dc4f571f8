#include "base/executor.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>

#include "absl/synchronization/notification.h"

namespace kvasir {
namespace {

TEST(ThreadPoolTest, EveryAcceptedTaskRunsOnce) {
  constexpr int kTasks = 1000;
  std::atomic<int> runs[kTasks] = {};
  {
    ThreadPool pool({.name = "pool", .threads = 4, .queue_tasks_max = kTasks});
    for (std::atomic<int>& run : runs) ASSERT_TRUE(pool.Submit([&run] { ++run; }));
  }
  for (const std::atomic<int>& run : runs) EXPECT_EQ(run, 1);
}

TEST(ThreadPoolTest, BeyondTheBoundItRefusesAndWhatWasAcceptedStillRuns) {
  absl::Notification started;
  absl::Notification go_on;
  std::atomic<int> accepted_runs = 0;
  std::atomic<bool> refused_ran = false;
  {
    ThreadPool pool({.name = "pool", .threads = 1, .queue_tasks_max = 2});
    ASSERT_TRUE(pool.Submit([&] {
      started.Notify();
      go_on.WaitForNotification();
    }));
    started.WaitForNotification();  // The queue is empty from here.
    EXPECT_TRUE(pool.Submit([&] { ++accepted_runs; }));
    EXPECT_TRUE(pool.Submit([&] { ++accepted_runs; }));
    EXPECT_FALSE(pool.Submit([&] { refused_ran = true; }));
    EXPECT_EQ(accepted_runs, 0);
    go_on.Notify();
  }
  EXPECT_EQ(accepted_runs, 2);
  EXPECT_FALSE(refused_ran);
}

TEST(ThreadPoolTest, OneThreadRunsTasksInTheOrderOfSubmission) {
  std::string order;
  {
    ThreadPool pool({.name = "pool", .threads = 1});
    for (const char c : {'a', 'b', 'c', 'd'}) {
      ASSERT_TRUE(pool.Submit([c, &order] { order.push_back(c); }));
    }
  }
  EXPECT_EQ(order, "abcd");
}

TEST(ThreadPoolTest, ATaskThatSubmitsItselfIsRefusedOnceThePoolStops) {
  std::atomic<int> refusals = 0;
  std::function<void()> again;
  absl::Notification started;
  {
    ThreadPool pool({.name = "pool", .threads = 1, .queue_tasks_max = 1});
    again = [&] {
      if (!started.HasBeenNotified()) started.Notify();
      if (!pool.Submit([&again] { again(); })) ++refusals;
    };
    ASSERT_TRUE(pool.Submit([&again] { again(); }));
    started.WaitForNotification();
  }
  EXPECT_EQ(refusals, 1);
}

TEST(ThreadPoolTest, ThreadsBearTheFirstFifteenBytesOfItsName) {
  std::string name(64, '\0');
  {
    ThreadPool pool({.name = "a-name-longer-than-fifteen"});
    ASSERT_TRUE(pool.Submit(
        [&name] { pthread_getname_np(pthread_self(), name.data(), name.size()); }));
  }
  EXPECT_EQ(std::string(name.c_str()), "a-name-longer-t");
}

TEST(ThreadPoolTest, ItsThreadsAloneStandBack) {
  const auto nice_of_this_thread = [] {
    return getpriority(PRIO_PROCESS, static_cast<id_t>(gettid()));
  };
  const int mine = nice_of_this_thread();
  int theirs = 0;
  {
    ThreadPool pool({.name = "pool", .nice = 19});
    ASSERT_TRUE(pool.Submit([&] { theirs = nice_of_this_thread(); }));
  }
  EXPECT_EQ(theirs, 19);
  EXPECT_EQ(nice_of_this_thread(), mine);
}

TEST(TickerTest, StepsUntilDestroyedAndNeverAfter) {
  std::atomic<int> steps = 0;
  for (const int interval_ms : {0, 1}) {
    steps = 0;
    {
      absl::Notification third;
      Ticker ticker("ticker", std::chrono::milliseconds(interval_ms), [&] {
        if (++steps == 3) third.Notify();
      });
      third.WaitForNotification();
    }
    EXPECT_GE(steps, 3);
  }
}

// Should it not cut the wait short, the test runs into its time limit.
TEST(TickerTest, DestructionCutsALongIntervalShort) {
  std::atomic<int> steps = 0;
  { const Ticker ticker("ticker", std::chrono::hours(24), [&steps] { ++steps; }); }
  EXPECT_EQ(steps, 0);
}

}  // namespace
}  // namespace kvasir
