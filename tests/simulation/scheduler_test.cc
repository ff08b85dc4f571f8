#include "tests/simulation/scheduler.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace kvasir::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

void RunAll(Scheduler* scheduler) {
  while (scheduler->RunOne()) {
  }
}

TEST(Scheduler, EventsRunInTheOrderOfTheirTimes) {
  Scheduler scheduler;
  std::string order;
  scheduler.After(milliseconds(2), [&] { order += 'c'; });
  scheduler.After(milliseconds(1), [&] { order += 'a'; });
  scheduler.After(milliseconds(1), [&] { order += 'b'; });
  RunAll(&scheduler);
  EXPECT_EQ(order, "abc");
}

TEST(Scheduler, AParkedFiberWakesAtItsTimeOrWhenNotified) {
  Scheduler scheduler;
  Process process(&scheduler, {.name = "p"});
  const Instant start = scheduler.Now();
  bool first = true, second = false;
  Instant woken;
  scheduler.Spawn(&process, [&] {
    first = scheduler.Park(scheduler.NewTicket(), start + milliseconds(5));
    const Scheduler::Ticket ticket = scheduler.NewTicket();
    scheduler.After(milliseconds(3), [&scheduler, ticket] { scheduler.Notify(ticket); });
    second = scheduler.Park(ticket, start + seconds(1));
    woken = scheduler.Now();
  });
  RunAll(&scheduler);
  EXPECT_FALSE(first);
  EXPECT_TRUE(second);
  EXPECT_EQ(woken - start, milliseconds(8));
}

TEST(Scheduler, ANotificationBeforeTheWaitIsNotLost) {
  Scheduler scheduler;
  Process process(&scheduler, {.name = "p"});
  bool notified = false;
  scheduler.Spawn(&process, [&] {
    const Scheduler::Ticket ticket = scheduler.NewTicket();
    scheduler.Notify(ticket);
    scheduler.Sleep(milliseconds(5));
    notified = scheduler.Park(ticket, scheduler.Now() + seconds(1));
  });
  RunAll(&scheduler);
  EXPECT_TRUE(notified);
}

TEST(Scheduler, APausedProcessWakesUpLateAndWithItsNotification) {
  Scheduler scheduler;
  Process process(&scheduler, {.name = "p"});
  const Instant start = scheduler.Now();
  bool notified = false;
  Instant woken;
  scheduler.Spawn(&process, [&] {
    const Scheduler::Ticket ticket = scheduler.NewTicket();
    scheduler.After(milliseconds(1), [&] { process.Pause(milliseconds(100)); });
    scheduler.After(milliseconds(50), [&scheduler, ticket] { scheduler.Notify(ticket); });
    notified = scheduler.Park(ticket, start + milliseconds(10));
    woken = scheduler.Now();
  });
  RunAll(&scheduler);
  EXPECT_TRUE(notified);
  EXPECT_EQ(woken - start, milliseconds(101));
}

TEST(Scheduler, AKilledProcessWakesUpAtOnce) {
  Scheduler scheduler;
  Process process(&scheduler, {.name = "p"});
  const Instant start = scheduler.Now();
  scheduler.Spawn(&process, [&] { scheduler.Sleep(seconds(10)); });
  scheduler.After(milliseconds(1), [&] { process.Pause(seconds(5)); });
  scheduler.After(milliseconds(2), [&] { process.Kill(); });
  while (scheduler.fibers() > 0) ASSERT_TRUE(scheduler.RunOne());
  EXPECT_EQ(scheduler.Now() - start, milliseconds(2));
}

TEST(Scheduler, FibersThatAreRunOutWaitForNothing) {
  Scheduler scheduler;
  Process process(&scheduler, {.name = "p"}), other(&scheduler, {.name = "q"});
  const Instant start = scheduler.Now();
  int waits = 0;
  const auto body = [&] {
    for (; waits < 3; ++waits) scheduler.Sleep(seconds(10));
  };
  scheduler.Spawn(&process, body);
  scheduler.Spawn(&other, [&] { scheduler.Sleep(seconds(5)); });
  scheduler.After(milliseconds(1), [&] { scheduler.RunOut(&process); });
  while (scheduler.fibers() > 1) ASSERT_TRUE(scheduler.RunOne());
  EXPECT_EQ(waits, 3);
  EXPECT_EQ(scheduler.Now() - start, milliseconds(1));
  RunAll(&scheduler);
  EXPECT_EQ(scheduler.fibers(), 0);
}

TEST(Process, ItsClockHasAnOffsetAndARateOfItsOwn) {
  Scheduler scheduler;
  Process process(&scheduler,
                  {.name = "p", .clock_offset = seconds(7), .clock_drift_ppm = 400});
  const Instant before = process.Now();
  scheduler.After(seconds(10), [] {});
  RunAll(&scheduler);
  EXPECT_EQ(process.Now() - before, seconds(10) + milliseconds(4));
  const auto error = process.WorldTime(process.Now()) - scheduler.Now();
  EXPECT_LT(std::chrono::abs(error), milliseconds(1));
}

}  // namespace
}  // namespace kvasir::sim
