#ifndef KVASIR_TESTS_SIMULATION_TRACE_H_
#define KVASIR_TESTS_SIMULATION_TRACE_H_

#include <fmt/core.h>

#include <string>
#include <utility>

#include "base/clock.h"
#include "tests/simulation/scheduler.h"

namespace kvasir::sim {

// What happened, a line an event, for people who replay a seed. Off, it costs nothing:
// a failing seed is run again with it on.
class Trace {
 public:
  Trace(const Scheduler* scheduler, bool on) : scheduler_(scheduler), on_(on) {}

  template <typename... Args>
  void Say(fmt::format_string<Args...> format, Args&&... args) {
    if (!on_) return;
    const double ms =
        static_cast<double>(scheduler_->Now().time_since_epoch().count()) / 1e6;
    lines_ += fmt::format("{:14.6f} ms  ", ms);
    lines_ += fmt::format(format, std::forward<Args>(args)...);
    lines_ += '\n';
  }
  bool on() const { return on_; }
  const std::string& lines() const { return lines_; }

 private:
  const Scheduler* const scheduler_;
  const bool on_;
  std::string lines_;
};

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_TRACE_H_
