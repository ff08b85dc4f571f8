#ifndef KVASIR_TESTS_SIMULATION_FIBER_H_
#define KVASIR_TESTS_SIMULATION_FIBER_H_

#include <ucontext.h>

#include <cstddef>

#include "absl/functional/any_invocable.h"

namespace kvasir::sim {

// A function with a stack of its own, which runs when it is resumed and until it yields:
// how blocking client code runs under a scheduler that decides every step. Fibers and
// not threads, because a switch costs a fraction of a microsecond, a simulation switches
// a few thousand times, and nothing else may decide the order.
//
// Threads: all fibers of a simulation belong to the thread that made them. A fiber must
// not hold a mutex across Yield.
class Fiber {
 public:
  explicit Fiber(absl::AnyInvocable<void()> body);
  // REQUIRES: done().
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Runs the body until it yields or ends. REQUIRES: not called from a fiber; !done().
  void Resume();
  // Back to Resume's caller. REQUIRES: called from a fiber.
  static void Yield();
  // The fiber that runs now, or null.
  static Fiber* Current();

  bool done() const { return done_; }

 private:
  static void Main();
  void SwitchIn();
  void SwitchOut(bool for_good);

  absl::AnyInvocable<void()> body_;
  std::byte* const stack_;
  ucontext_t own_;
  ucontext_t resumer_;
  bool done_ = false;
  // What AddressSanitizer has to know of the two stacks.
  void* fake_stack_ = nullptr;
  void* resumer_fake_stack_ = nullptr;
  const void* resumer_stack_ = nullptr;
  size_t resumer_stack_bytes_ = 0;
};

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_FIBER_H_
