#include "tests/simulation/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace kvasir::sim {

Scheduler::~Scheduler() { KV_CHECK(fibers_.empty()); }

bool Scheduler::Later(const Event& a, const Event& b) {
  return a.when != b.when ? a.when > b.when : a.order > b.order;
}

void Scheduler::At(Instant when, Task task) {
  events_.push_back({.when = std::max(when, Now()),
                     .order = ++order_,
                     .task = std::make_unique<Task>(std::move(task))});
  std::push_heap(events_.begin(), events_.end(), Later);
}

bool Scheduler::RunOne() {
  if (events_.empty()) return false;
  std::pop_heap(events_.begin(), events_.end(), Later);
  const Event event = std::move(events_.back());
  events_.pop_back();
  clock_.Set(event.when);
  ++events_run_;
  (*event.task)();
  return true;
}

void Scheduler::Spawn(Process* process, Task body) {
  auto fiber = std::make_unique<Fiber>(std::move(body));
  Fiber* const key = fiber.get();
  FiberState* const state = &fibers_[key];
  *state = {.process = process, .fiber = std::move(fiber)};
  At(Now(), [this, state] { Run(state); });
}

void Scheduler::Run(FiberState* state) {
  Fiber* const fiber = state->fiber.get();
  fiber->Resume();
  if (fiber->done()) fibers_.erase(fiber);
}

Scheduler::Ticket Scheduler::NewTicket() {
  const auto it = fibers_.find(Fiber::Current());
  KV_CHECK(it != fibers_.end());
  const Ticket ticket{++last_ticket_};
  waits_[ticket] = {.fiber = &it->second};
  return ticket;
}

bool Scheduler::Park(Ticket ticket, Instant until) {
  Wait& wait = waits_.at(ticket);
  wait.parked = true;
  ResumeLater(ticket, wait.notified ? Now() : until);
  Fiber::Yield();
  const bool notified = waits_.at(ticket).notified;
  waits_.erase(ticket);
  return notified;
}

void Scheduler::Notify(Ticket ticket) {
  const auto it = waits_.find(ticket);
  if (it == waits_.end() || std::exchange(it->second.notified, true)) return;
  ResumeLater(ticket, Now());
}

void Scheduler::WakeAll(const Process* process) {
  for (const auto& [ticket, wait] : waits_) {
    if (wait.fiber->process == process) Notify(ticket);
  }
}

void Scheduler::RunOut(const Process* process) {
  const auto waits = [process](const auto& entry) {
    return entry.second.parked && entry.second.fiber->process == process;
  };
  while (true) {
    const auto it = std::find_if(waits_.begin(), waits_.end(), waits);
    if (it == waits_.end()) return;
    it->second.parked = false;
    Run(it->second.fiber);
  }
}

void Scheduler::ResumeLater(Ticket ticket, Instant when) {
  At(when, [this, ticket] { TryResume(ticket); });
}

void Scheduler::TryResume(Ticket ticket) {
  const auto it = waits_.find(ticket);
  if (it == waits_.end() || !it->second.parked) return;
  const Process& process = *it->second.fiber->process;
  if (process.runs_from() > Now() && !process.killed()) {
    ResumeLater(ticket, process.runs_from());
    return;
  }
  it->second.parked = false;
  Run(it->second.fiber);
}

Instant Process::Now() const {
  const Instant world = scheduler_->Now();
  const int64_t world_ns = world.time_since_epoch().count();
  const BootClock::duration drift(world_ns * options_.clock_drift_ppm / 1'000'000);
  const Instant local = world + options_.clock_offset + drift;
  const bool own_fiber = Fiber::Current() != nullptr;
  if (own_fiber && !killed_ && options_.after_clock_read) options_.after_clock_read();
  return local;
}

Instant Process::WorldTime(Instant local) const {
  const int64_t shown_ns = (local - options_.clock_offset).time_since_epoch().count();
  // Near enough: the square of the drift is a millionth of it.
  return Instant(
      BootClock::duration(shown_ns - shown_ns * options_.clock_drift_ppm / 1'000'000));
}

void Process::Pause(BootClock::duration time) {
  runs_from_ = std::max(runs_from_, scheduler_->Now() + time);
}

void Process::Kill() {
  killed_ = true;
  scheduler_->WakeAll(this);
}

}  // namespace kvasir::sim
