#ifndef KVASIR_TESTS_SIMULATION_SCHEDULER_H_
#define KVASIR_TESTS_SIMULATION_SCHEDULER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "tests/simulation/fiber.h"
#include "tests/support/manual_clock.h"

namespace kvasir::sim {

class Process;

// Time and order of a simulated world: one queue of events, run by their time, and the
// fibers that wait for some of them. The clock stands still while an event runs, so
// whatever takes time is an event of its own.
//
// Threads: one, and the fibers on it.
class Scheduler {
 public:
  using Task = absl::AnyInvocable<void()>;
  // One wait of one fiber.
  enum class Ticket : uint64_t {};

  Scheduler() = default;
  // REQUIRES: fibers() == 0.
  ~Scheduler();

  Instant Now() const { return clock_.Now(); }
  void At(Instant when, Task task);
  void After(BootClock::duration delay, Task task) { At(Now() + delay, std::move(task)); }
  // Runs the next event. False if there is none.
  bool RunOne();
  uint64_t events_run() const { return events_run_; }

  // Starts `body` as a fiber of `process`, which must outlive it.
  void Spawn(Process* process, Task body);
  // Fibers that have not ended.
  size_t fibers() const { return fibers_.size(); }

  // Park waits for Notify of the ticket or the time, whichever comes first, and tells
  // whether it was notified. While its process is paused a fiber stays parked, and may
  // wake up long after both. A notification before Park is not lost.
  // REQUIRES: called from a fiber; the ticket is this fiber's own and parked on once.
  Ticket NewTicket();
  bool Park(Ticket ticket, Instant until);
  void Sleep(BootClock::duration time) { Park(NewTicket(), Now() + time); }
  // Ignored if the wait is over.
  void Notify(Ticket ticket);
  // Wakes every fiber of a process that was killed.
  void WakeAll(const Process* process);
  // Ends every wait of the process's fibers, now and one after the other, until none of
  // them waits. REQUIRES: not called from a fiber.
  void RunOut(const Process* process);

 private:
  struct Event {
    Instant when;
    uint64_t order = 0;  // of two events at one time, the one made first runs first
    std::unique_ptr<Task> task;
  };
  struct FiberState {
    Process* process = nullptr;
    std::unique_ptr<Fiber> fiber;
  };
  struct Wait {
    FiberState* fiber = nullptr;
    bool notified = false;
    bool parked = false;
  };

  static bool Later(const Event& a, const Event& b);
  void ResumeLater(Ticket ticket, Instant when);
  void TryResume(Ticket ticket);
  void Run(FiberState* state);

  ManualClock clock_;
  uint64_t order_ = 0;
  uint64_t events_run_ = 0;
  uint64_t last_ticket_ = 0;
  std::vector<Event> events_;  // a heap
  std::map<Ticket, Wait> waits_;
  std::unordered_map<Fiber*, FiberState> fibers_;
};

// One simulated operating system process, and its clock: another offset and a slightly
// other rate than the world's. It can be paused, as by SIGSTOP or a stalled virtual
// machine, while its clock and its NIC go on; and killed.
class Process final : public Clock {
 public:
  struct Options {
    std::string name;
    BootClock::duration clock_offset{};
    int64_t clock_drift_ppm = 0;
    // Runs whenever a fiber of this process has read its clock: a chance to lose the CPU
    // between looking at the time and acting on it. May be null.
    absl::AnyInvocable<void()> after_clock_read;
  };
  Process(Scheduler* scheduler, Options options)
      : scheduler_(scheduler), options_(std::move(options)) {}

  const std::string& name() const { return options_.name; }
  Instant Now() const override;
  // The world's time at which this process's clock shows `local`.
  Instant WorldTime(Instant local) const;

  void Pause(BootClock::duration time);
  // The world's time from which fibers of this process run.
  Instant runs_from() const { return runs_from_; }
  void Kill();
  bool killed() const { return killed_; }

 private:
  Scheduler* const scheduler_;
  mutable Options options_;
  Instant runs_from_{};
  bool killed_ = false;
};

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_SCHEDULER_H_
