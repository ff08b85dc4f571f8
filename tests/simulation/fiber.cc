#include "tests/simulation/fiber.h"

#include <sys/mman.h>

#include <utility>
#include <vector>

#include "base/check.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace kvasir::sim {
namespace {

constexpr size_t kStackBytes = 512 * 1024;

thread_local Fiber* current = nullptr;

// Stacks are used again: a simulation needs a dozen, and a run thousands of simulations.
std::vector<std::byte*>& IdleStacks() {
  static std::vector<std::byte*>* const stacks = new std::vector<std::byte*>;
  return *stacks;
}

std::byte* TakeStack() {
  std::vector<std::byte*>& idle = IdleStacks();
  if (!idle.empty()) {
    std::byte* const stack = idle.back();
    idle.pop_back();
#ifdef __SANITIZE_ADDRESS__
    // The last frames of the fiber before never returned, so their redzones are left.
    __asan_unpoison_memory_region(stack, kStackBytes);
#endif
    return stack;
  }
  void* const mapped = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  KV_CHECK(mapped != MAP_FAILED);
  // An overflow faults here instead of running on into another stack.
  KV_CHECK(mprotect(mapped, 4096, PROT_NONE) == 0);
  return static_cast<std::byte*>(mapped);
}

}  // namespace

Fiber::Fiber(absl::AnyInvocable<void()> body)
    : body_(std::move(body)), stack_(TakeStack()) {
  KV_CHECK(getcontext(&own_) == 0);
  own_.uc_stack.ss_sp = stack_;
  own_.uc_stack.ss_size = kStackBytes;
  own_.uc_link = nullptr;
  makecontext(&own_, &Fiber::Main, 0);
}

Fiber::~Fiber() {
  KV_CHECK(done_);
  IdleStacks().push_back(stack_);
}

Fiber* Fiber::Current() { return current; }

void Fiber::Main() {
  Fiber* const self = current;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &self->resumer_stack_,
                                  &self->resumer_stack_bytes_);
#endif
  self->body_();
  self->body_ = nullptr;
  self->done_ = true;
  self->SwitchOut(/*for_good=*/true);
}

void Fiber::Resume() {
  KV_CHECK(current == nullptr && !done_);
  current = this;
  SwitchIn();
  current = nullptr;
}

void Fiber::Yield() {
  KV_CHECK(current != nullptr);
  current->SwitchOut(/*for_good=*/false);
}

void Fiber::SwitchIn() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&resumer_fake_stack_, stack_, kStackBytes);
#endif
  KV_CHECK(swapcontext(&resumer_, &own_) == 0);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(resumer_fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::SwitchOut([[maybe_unused]] bool for_good) {
#ifdef __SANITIZE_ADDRESS__
  // A null handle tells that this stack's frames are gone for good.
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack_, resumer_stack_,
                                 resumer_stack_bytes_);
#endif
  KV_CHECK(swapcontext(&own_, &resumer_) == 0);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake_stack_, &resumer_stack_, &resumer_stack_bytes_);
#endif
}

}  // namespace kvasir::sim
