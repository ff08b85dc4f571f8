#include "service/reaper.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/rules.h"

// Invariants I1, I2 ... are those of docs/leases.md.
namespace kvasir {

using absl::MutexLock;

Reaper::Reaper(const Clock* clock, LeaseTable* leases, SessionTable* sessions,
               std::vector<ServerTransport*> transports)
    : clock_(clock),
      leases_(leases),
      sessions_(sessions),
      transports_(std::move(transports)) {}

Reaper::~Reaper() = default;

Reaper::Expired Reaper::Expire() {
  {
    MutexLock lock(&mu_);
    ++expiring_;
  }
  LeaseTable::Taken taken = leases_->Expire(clock_->Now());
  const Expired expired{taken.reads.size(), taken.writes.size(), taken.pins.size()};
  Quarantine(std::move(taken.writes));
  MutexLock lock(&mu_);
  --expiring_;
  return expired;
}

void Reaper::Quarantine(std::vector<LeaseTable::Write> writes) {
  // By lane, in the order of granting within one: one fence serves all of its grants.
  std::stable_sort(writes.begin(), writes.end(), [](const auto& a, const auto& b) {
    return a.holder.lane < b.holder.lane;
  });
  auto first = writes.begin();
  while (first != writes.end()) {
    const LeaseTable::Holder holder = first->holder;
    Memory memory;
    for (; first != writes.end() && first->holder.lane == holder.lane; ++first) {
      first->reservation.Unbind();
      memory.writes.push_back(std::move(first->reservation));
    }
    ServerTransport* const transport =
        sessions_->CutWrites(holder.session, holder.lane);
    // A lane that has just ended is being cut off by somebody else, who may not be done:
    // ask every transport, which waits for that too.
    Fence({holder.session, holder.lane, FenceScope::kWrites},
          transport != nullptr ? std::vector{transport} : transports_, std::move(memory));
  }
}

void Reaper::Retire(const SessionTable::Ended& ended) {
  const bool whole = ended.lane == LaneId{};
  LeaseTable::Taken taken = whole ? leases_->EndSession(ended.session)
                                  : leases_->EndLane({ended.session, ended.lane});
  Memory memory;
  memory.reads = std::move(taken.reads);
  for (LeaseTable::Write& write : taken.writes) {
    write.reservation.Unbind();
    memory.writes.push_back(std::move(write.reservation));
  }
  Fence({ended.session, ended.lane, FenceScope::kAll}, ended.transports, std::move(memory));
}

void Reaper::Fence(const FenceTarget& target, const std::vector<ServerTransport*>& transports,
                   Memory memory) {
  // I3: freed after the fence and not before.
  if (!rules::kFence) memory = Memory();
  uint64_t ward = 0;
  {
    MutexLock lock(&mu_);
    ward = ++last_ward_;
    // One more than the transports, taken back below: none of them completes the ward
    // before all of them were asked.
    wards_[ward] = {target.session, target.lane, clock_->Now(), transports.size() + 1,
                    std::move(memory)};
    fences_ += transports.size();
  }
  for (ServerTransport* const transport : transports) {
    transport->Fence(target, [this, ward] { FenceDone(ward); });
  }
  FenceDone(ward);
}

// Whether an older fence that is not done yet reaches into `ward`. Its own fence may
// then have found the lane already half torn down, and have returned too early.
bool Reaper::CoveredLocked(Wards::const_iterator ward) const {
  for (auto older = wards_.begin(); older != ward; ++older) {
    if (older->second.session != ward->second.session) continue;
    if (older->second.lane == ward->second.lane || older->second.lane == LaneId{} ||
        ward->second.lane == LaneId{}) {
      return true;
    }
  }
  return false;
}

void Reaper::FenceDone(uint64_t id) {
  std::vector<Memory> free;  // Dropped after the lock.
  MutexLock lock(&mu_);
  const auto done = wards_.find(id);
  KV_CHECK(done != wards_.end());  // A fence returns once.
  if (--done->second.fences_left > 0) return;
  for (auto ward = done; ward != wards_.end();) {
    if (ward->second.fences_left > 0 || CoveredLocked(ward)) {
      ++ward;
      continue;
    }
    free.push_back(std::move(ward->second.memory));
    ward = wards_.erase(ward);
  }
}

Reaper::Stats Reaper::stats() const {
  Stats stats;
  const Instant now = clock_->Now();
  MutexLock lock(&mu_);
  stats.fences = fences_;
  stats.wards = wards_.size();
  for (const auto& [id, ward] : wards_) {
    const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(now - ward.since);
    stats.oldest_fence = std::max(stats.oldest_fence, age);
    stats.blocks += ward.memory.reads.size() + ward.memory.writes.size();
    for (const BlockRef& read : ward.memory.reads) stats.bytes += read.size_bytes();
    for (const Reservation& write : ward.memory.writes) stats.bytes += write.size_bytes();
  }
  return stats;
}

bool Reaper::idle() const {
  MutexLock lock(&mu_);
  return wards_.empty() && expiring_ == 0;
}

}  // namespace kvasir
