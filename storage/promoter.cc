#include "storage/promoter.h"

#include <utility>

#include "base/bytes.h"
#include "base/limits.h"

namespace kvasir {

using absl::MutexLock;

bool Promoter::Start(std::string_view key, const TierBlock& block, Landed landed) {
  {
    MutexLock lock(&mu_);
    const auto known = jobs_.find(ToAbsl(key));
    if (known != jobs_.end()) {
      if (!landed) return true;
      if (known->second.landed.size() >= kMaxWaitersPerKey) return false;
      known->second.landed.push_back(std::move(landed));
      return true;
    }
    const uint64_t bytes = stats_.queued_bytes + block.info.size_bytes;
    if (!world_.health->may_load() || jobs_.size() >= kTierQueueBlocksMax ||
        (!jobs_.empty() && bytes > world_.queue_bytes_max)) {
      ++stats_.refused_blocks;
      return false;
    }
    Job& job = jobs_[std::string(key)];
    job.block = block;
    if (landed) job.landed.push_back(std::move(landed));
    queue_.emplace_back(key);
    stats_.queued_bytes = bytes;
  }
  Pump();
  return true;
}

bool Promoter::IsUnderWay(std::string_view key) const {
  MutexLock lock(&mu_);
  return jobs_.contains(ToAbsl(key));
}

bool Promoter::Await(std::string_view key, Landed landed) {
  MutexLock lock(&mu_);
  const auto job = jobs_.find(ToAbsl(key));
  if (job == jobs_.end() || job->second.landed.size() >= kMaxWaitersPerKey) return false;
  job->second.landed.push_back(std::move(landed));
  return true;
}

void Promoter::Step() {
  Trim();
  Pump();
}

void Promoter::Trim() {
  const Instant now = world_.clock->Now();
  std::vector<BlockRef> released;  // Let go of without the lock.
  MutexLock lock(&mu_);
  while (!held_.empty() &&
         (held_.front().until <= now || held_bytes_ > world_.queue_bytes_max)) {
    held_bytes_ -= held_.front().block.size_bytes();
    released.push_back(std::move(held_.front().block));
    held_.pop_front();
  }
}

void Promoter::Pump() {
  while (true) {
    {
      MutexLock lock(&mu_);
      if (running_ == kBatchesMax || queue_.empty()) return;
      ++running_;
    }
    if (world_.executor->Submit([this] { Run(); })) continue;
    MutexLock lock(&mu_);  // Full, for now: the next Step tries again.
    --running_;
    return;
  }
}

void Promoter::Run() {
  std::vector<Copy> copies = Take();
  LoadAll(copies);
  Finish(copies);
  copies.clear();
  Pump();
}

std::vector<Promoter::Copy> Promoter::Take() {
  std::vector<Copy> copies;
  uint64_t bytes = 0;
  MutexLock lock(&mu_);
  while (!queue_.empty() && copies.size() < kTierBatchBlocks) {
    const TierBlock& block = jobs_.find(queue_.front())->second.block;
    bytes += block.info.size_bytes;
    if (!copies.empty() && bytes > kTierBatchBytes) break;
    Copy& copy = copies.emplace_back();
    copy.block = block;
    copy.key = std::move(queue_.front());
    queue_.pop_front();
  }
  return copies;
}

void Promoter::LoadAll(std::span<Copy> copies) {
  std::vector<Tier::Read> reads;
  std::vector<Copy*> reading;
  for (Copy& copy : copies) {
    absl::StatusOr<Reservation> made =
        world_.memory->ReserveCopy(copy.key, copy.block.info, copy.block.generation);
    copy.status = made.status();
    if (!made.ok()) continue;
    copy.reservation = *std::move(made);
    reads.push_back({.key = copy.key,
                     .generation = copy.block.generation,
                     .payload = copy.reservation.bytes(),
                     .status = {}});
    reading.push_back(&copy);
  }
  if (reads.empty()) return;
  const uint64_t call = world_.health->Begin(world_.clock->Now());
  world_.mask->tier()->Load(reads);
  absl::Status worst;
  for (size_t i = 0; i < reads.size(); ++i) {
    reading[i]->status = reads[i].status;
    if (absl::IsUnavailable(reads[i].status)) worst = reads[i].status;
  }
  world_.health->End(call, TierHealth::Call::kLoad, worst, world_.clock->Now());
  for (Copy* copy : reading) {
    if (copy->status.ok()) Publish(copy);
  }
}

void Promoter::Publish(Copy* copy) {
  absl::StatusOr<BlockRef> ref =
      world_.memory->CommitCopy(std::move(copy->reservation), copy->block.info.checksum);
  // A newer block, or another copy, serves whoever waits as well.
  if (absl::IsAlreadyExists(ref.status())) ref = world_.memory->Peek(copy->key);
  copy->status = ref.status();
  if (ref.ok()) copy->ref = *std::move(ref);
}

void Promoter::Finish(std::span<Copy> copies) {
  std::vector<std::vector<Landed>> landed;
  const Instant until = world_.clock->Now() + kPromotionHold;
  {
    MutexLock lock(&mu_);
    for (Copy& copy : copies) {
      if (!copy.ref.empty()) {
        held_bytes_ += copy.ref.size_bytes();
        held_.push_back({copy.ref.Share(), until});
      }
      const auto job = jobs_.find(copy.key);
      landed.push_back(std::move(job->second.landed));
      jobs_.erase(job);
      stats_.queued_bytes -= copy.block.info.size_bytes;
      CountLocked(copy);
    }
    --running_;
  }
  for (size_t i = 0; i < copies.size(); ++i) {
    const BlockRef* const ref = copies[i].ref.empty() ? nullptr : &copies[i].ref;
    for (Landed& one : landed[i]) std::move(one)(ref);
  }
  Trim();
}

void Promoter::CountLocked(const Copy& copy) {
  if (copy.status.ok()) {
    ++stats_.promoted_blocks;
    stats_.promoted_bytes += copy.block.info.size_bytes;
  } else if (absl::IsDataLoss(copy.status)) {
    ++stats_.corrupt_blocks;
  } else if (!absl::IsNotFound(copy.status)) {
    ++stats_.failed_blocks;
  }
}

Promoter::Stats Promoter::stats() const {
  MutexLock lock(&mu_);
  Stats stats = stats_;
  stats.queued_blocks = jobs_.size();
  return stats;
}

}  // namespace kvasir
