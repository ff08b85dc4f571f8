#include "storage/tier_eraser.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"

namespace kvasir {

using absl::MutexLock;

void TierEraser::Erase(std::string_view key, uint64_t generation, Done done) {
  world_.mask->Hide(key, generation);
  {
    MutexLock lock(&mu_);
    Entry& entry = entries_[std::string(key)];
    entry.generation = std::max(entry.generation, generation);
    entry.failed = false;
    entry.done.push_back(std::move(done));
    if (!entry.queued) queue_.emplace_back(key);
    entry.queued = true;
  }
  Pump();
}

TierEraser::Fate TierEraser::Find(std::string_view key) const {
  MutexLock lock(&mu_);
  const auto entry = entries_.find(ToAbsl(key));
  if (entry == entries_.end()) return Fate::kNone;
  return entry->second.failed ? Fate::kFailed : Fate::kUnderWay;
}

bool TierEraser::Await(std::string_view key, absl::AnyInvocable<void() &&> settled) {
  MutexLock lock(&mu_);
  const auto entry = entries_.find(ToAbsl(key));
  if (entry == entries_.end() || entry->second.failed) return false;
  entry->second.done.push_back(
      [settled = std::move(settled)](const absl::Status&) mutable {
        std::move(settled)();
      });
  return true;
}

bool TierEraser::full() const { return size() >= kMaxErasures; }

size_t TierEraser::size() const {
  MutexLock lock(&mu_);
  return entries_.size();
}

void TierEraser::Step() {
  if (world_.health->may_store()) {
    MutexLock lock(&mu_);
    if (world_.clock->Now() >= next_retry_) {
      for (auto& [key, entry] : entries_) {
        if (!entry.failed || entry.queued) continue;
        queue_.push_back(key);
        entry.queued = true;
      }
      next_retry_ = world_.clock->Now() + kTierProbeInterval;
    }
  }
  Pump();
}

void TierEraser::Pump() {
  {
    MutexLock lock(&mu_);
    if (running_ || queue_.empty()) return;
    running_ = true;
  }
  if (world_.executor->Submit([this] { Run(); })) return;
  MutexLock lock(&mu_);  // Full, for now: the next Step tries again.
  running_ = false;
}

void TierEraser::Run() {
  Batch batch = Take();
  std::vector<Tier::Tombstone> tombstones;
  for (size_t i = 0; i < batch.keys.size(); ++i) {
    tombstones.push_back({.key = batch.keys[i], .generation = batch.generations[i]});
  }
  const uint64_t call = world_.health->Begin(world_.clock->Now());
  const absl::Status status = world_.mask->tier()->Delete(tombstones);
  world_.health->End(call, TierHealth::Call::kDelete, status, world_.clock->Now());
  Finish(&batch, status);
  Pump();
}

TierEraser::Batch TierEraser::Take() {
  Batch batch;
  MutexLock lock(&mu_);
  while (!queue_.empty() && batch.keys.size() < kTierBatchBlocks) {
    Entry& entry = entries_[queue_.front()];
    entry.queued = false;
    batch.generations.push_back(entry.generation);
    batch.done.push_back(std::exchange(entry.done, {}));
    batch.keys.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
}

void TierEraser::Finish(Batch* batch, const absl::Status& status) {
  for (size_t i = 0; i < batch->keys.size(); ++i) {
    const std::string& key = batch->keys[i];
    if (status.ok()) world_.mask->Forget(key, batch->generations[i]);
    MutexLock lock(&mu_);
    const auto entry = entries_.find(key);
    if (entry->second.queued) continue;  // A later generation of it is next.
    // Who came to wait since is told with the others.
    for (Done& done : entry->second.done) batch->done[i].push_back(std::move(done));
    entry->second.done.clear();
    entry->second.failed = !status.ok();
    if (status.ok()) entries_.erase(entry);
  }
  {
    MutexLock lock(&mu_);
    running_ = false;
  }
  for (auto& waiters : batch->done) {
    for (Done& done : waiters) std::move(done)(status);
  }
}

}  // namespace kvasir
