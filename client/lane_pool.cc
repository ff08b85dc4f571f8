#include "client/lane_pool.h"

#include <fmt/core.h>

#include <algorithm>

#include "absl/time/time.h"
#include "base/check.h"

namespace kvasir {

LanePool::Held::~Held() {
  if (lane_ != nullptr) pool_->GiveBack(std::move(lane_), term_, End::kWarm);
}

LanePool::LanePool(size_t lanes_max, OpenLane open, const Clock* clock)
    : lanes_max_(lanes_max), open_(std::move(open)), clock_(clock) {
  KV_CHECK(lanes_max > 0);
}

LanePool::~LanePool() { Stop(); }

uint64_t LanePool::Start(const Session& session, std::unique_ptr<LaneClient> first) {
  std::vector<Idle> old;  // Destroyed without the lock: that may talk to the node.
  absl::MutexLock lock(&mu_);
  old.swap(idle_);
  serving_ = true;
  const uint64_t term = session_.term + 1;
  session_ = session;
  session_.term = term;
  lanes_ = 1;
  idle_.push_back({std::move(first), clock_->Now()});
  return term;
}

void LanePool::Stop() {
  std::vector<Idle> old;
  absl::MutexLock lock(&mu_);
  old.swap(idle_);
  serving_ = false;
}

bool LanePool::StopTerm(uint64_t term) {
  std::vector<Idle> old;
  absl::MutexLock lock(&mu_);
  if (!serving_ || term != session_.term) return false;
  old.swap(idle_);
  serving_ = false;
  return true;
}

bool LanePool::ReadyLocked() const {
  return !serving_ || !idle_.empty() || lanes_ < lanes_max_;
}

absl::StatusOr<LanePool::Held> LanePool::Acquire(Instant deadline) {
  Session session;
  {
    absl::MutexLock lock(&mu_);
    if (!ReadyLocked()) {
      const auto left = std::max(deadline - clock_->Now(), BootClock::duration::zero());
      const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return ReadyLocked(); };
      if (!mu_.AwaitWithTimeout(absl::Condition(&ready), absl::FromChrono(left))) {
        return absl::DeadlineExceededError(
            fmt::format("get lane: all {} are in use", lanes_max_));
      }
    }
    if (!serving_) return absl::UnavailableError("get lane: no session with the node");
    if (!idle_.empty()) {
      Held held(this, std::move(idle_.back().lane), session_.term);
      idle_.pop_back();
      return held;
    }
    ++lanes_;
    session = session_;
  }
  return Open(session, deadline);
}

absl::StatusOr<LanePool::Held> LanePool::Open(const Session& session, Instant deadline) {
  absl::StatusOr<std::unique_ptr<LaneClient>> lane = open_(session, deadline);
  if (lane.ok()) return Held(this, *std::move(lane), session.term);
  absl::MutexLock lock(&mu_);
  if (session.term == session_.term) --lanes_;
  return lane.status();
}

void LanePool::GiveBack(std::unique_ptr<LaneClient> lane, uint64_t term, End end) {
  const bool usable = lane->usable();
  absl::MutexLock lock(&mu_);
  if (term != session_.term) {
    // Of a session that has ended: goes, once the lock is released.
  } else if (usable && serving_) {
    idle_.insert(end == End::kWarm ? idle_.end() : idle_.begin(),
                 {std::move(lane), clock_->Now()});
  } else {
    --lanes_;
  }
}

void LanePool::FlushIdle(std::chrono::milliseconds idle, Instant deadline) {
  const Instant before = clock_->Now() - idle;
  // Bounded: what was flushed is young again.
  for (size_t looked = 0; looked < lanes_max_; ++looked) {
    std::unique_ptr<LaneClient> lane;
    uint64_t term = 0;
    {
      absl::MutexLock lock(&mu_);
      const auto found = std::find_if(idle_.begin(), idle_.end(), [before](const Idle& one) {
        return one.since <= before && one.lane->pending_releases() > 0;
      });
      if (found == idle_.end()) return;
      lane = std::move(found->lane);
      idle_.erase(found);
      term = session_.term;
    }
    // A lane that cannot release is unusable and goes, which releases too.
    lane->FlushReleases(deadline).IgnoreError();
    GiveBack(std::move(lane), term, End::kCold);
  }
}

bool LanePool::serving() const {
  absl::MutexLock lock(&mu_);
  return serving_;
}

size_t LanePool::open_lanes() const {
  absl::MutexLock lock(&mu_);
  return serving_ ? lanes_ : 0;
}

size_t LanePool::free_lanes() const {
  absl::MutexLock lock(&mu_);
  return serving_ ? lanes_max_ - lanes_ + idle_.size() : 0;
}

}  // namespace kvasir
