#include "tests/support/server_loops.h"

#include <chrono>
#include <utility>

#include "absl/time/time.h"

namespace kvasir {
namespace {

// Bounds how long Pause waits for a Poll that has nothing to do.
constexpr std::chrono::milliseconds kPollWaitMax{2};

}  // namespace

ServerLoops::ServerLoops(ServerTransport* server) : server_(server) {
  for (size_t i = 0; i < server->loops(); ++i) {
    auto loop = std::make_unique<Loop>();
    loop->index = i;
    Loop* const borrowed = loop.get();
    loop->ticker = std::make_unique<Ticker>("test-loop", std::chrono::milliseconds(0),
                                            [this, borrowed] { Step(borrowed); });
    loops_.push_back(std::move(loop));
  }
}

ServerLoops::~ServerLoops() {
  for (const auto& loop : loops_) loop->ticker.reset();
}

void ServerLoops::Pause() {
  for (const auto& loop : loops_) {
    absl::MutexLock lock(&loop->mu);
    loop->paused = true;
  }
}

void ServerLoops::Resume() {
  for (const auto& loop : loops_) {
    absl::MutexLock lock(&loop->mu);
    loop->paused = false;
    loop->stop = nullptr;
  }
}

void ServerLoops::PauseOnce(std::function<bool()> stop) {
  for (const auto& loop : loops_) {
    absl::MutexLock lock(&loop->mu);
    loop->stop = stop;
  }
}

void ServerLoops::Step(Loop* loop) {
  const auto may_poll = [loop]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(loop->mu) {
    return !loop->paused;
  };
  if (loop->mu.LockWhenWithTimeout(absl::Condition(&may_poll),
                                   absl::FromChrono(kPollWaitMax))) {
    if (loop->stop != nullptr && loop->stop()) {
      loop->paused = true;
    } else {
      server_->Poll(loop->index, kPollWaitMax);
    }
  }
  loop->mu.Unlock();
}

}  // namespace kvasir
