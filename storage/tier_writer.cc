#include "storage/tier_writer.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/count_text.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/rules.h"
#include "fmt/core.h"

namespace kvasir {

using absl::MutexLock;

absl::Status TierWriter::CheckRoomLocked(const Queue& queue, uint64_t size_bytes) const {
  const uint64_t capacity_bytes = world_.mask->capacity_bytes();
  if (size_bytes > capacity_bytes) {
    return absl::ResourceExhaustedError(fmt::format(
        "store: {} bytes exceed the disk's budget {}", size_bytes, capacity_bytes));
  }
  if (queue.blocks >= kTierQueueBlocksMax ||
      (queue.blocks > 0 && queue.bytes + size_bytes > world_.queue_bytes_max)) {
    return absl::ResourceExhaustedError(fmt::format(
        "store: {} blocks with {} bytes wait for the disk", queue.blocks, queue.bytes));
  }
  return absl::OkStatus();
}

void TierWriter::EnqueueLocked(Queue* queue, Item item) {
  ++queue->blocks;
  queue->bytes += item.block.size_bytes();
  queue->items.push_back(std::move(item));
}

bool TierWriter::MayDemote(uint64_t size_bytes) const {
  MutexLock lock(&mu_);
  return CheckRoomLocked(queues_[kDemotions], size_bytes).ok();
}

bool TierWriter::Demote(BlockRef block) {
  {
    MutexLock lock(&mu_);
    Queue& queue = queues_[kDemotions];
    if (!CheckRoomLocked(queue, block.size_bytes()).ok()) {
      ++stats_.dropped_demotions;
      return false;
    }
    EnqueueLocked(&queue, {.block = std::move(block), .done = {}, .status = {}});
  }
  Pump(kDemotions);
  return true;
}

void TierWriter::StoreDurably(BlockRef block, Durability durability, Done done) {
  KV_CHECK(durability != Durability::kNone);
  absl::Status status = CheckDurable(block.size_bytes());
  if (!status.ok()) return std::move(done)(status);
  {
    MutexLock lock(&mu_);
    EnqueueLocked(&queues_[kDurable], {.block = std::move(block),
                                       .durability = durability,
                                       .done = std::move(done),
                                       .status = {}});
  }
  Pump(kDurable);
}

absl::Status TierWriter::CheckDurable(uint64_t size_bytes) const {
  if (world_.mask->tier() == nullptr) {
    return absl::UnavailableError("store: there is no disk tier");
  }
  if (!world_.health->may_store()) {
    return absl::UnavailableError(
        fmt::format("store: the disk tier is {}: {}",
                    TierStateName(world_.health->state()), world_.health->reason()));
  }
  MutexLock lock(&mu_);
  return CheckRoomLocked(queues_[kDurable], size_bytes);
}

bool TierWriter::IsStoring(std::string_view key) const {
  MutexLock lock(&mu_);
  return storing_.contains(ToAbsl(key));
}

bool TierWriter::idle() const {
  MutexLock lock(&mu_);
  return queues_[kDurable].blocks == 0 && queues_[kDemotions].blocks == 0;
}

void TierWriter::Step() {
  Pump(kDurable);
  Pump(kDemotions);
}

void TierWriter::Pump(size_t index) {
  {
    MutexLock lock(&mu_);
    Queue& queue = queues_[index];
    if (queue.running || queue.items.empty()) return;
    queue.running = true;
  }
  if (world_.executor->Submit([this, index] { Run(index); })) return;
  MutexLock lock(&mu_);  // Full, for now: the next Step tries again.
  queues_[index].running = false;
}

void TierWriter::Run(size_t index) {
  std::vector<Item> items = Take(index);
  StoreAll(items);
  Finish(index, std::move(items));
  Pump(index);
}

std::vector<TierWriter::Item> TierWriter::Take(size_t index) {
  std::vector<Item> items;
  const uint64_t capacity_bytes = world_.mask->capacity_bytes();
  // A quarter: a batch must not push out what the last ones have brought.
  const uint64_t bytes_max = std::min(kTierBatchBytes, capacity_bytes / 4);
  uint64_t bytes = 0;
  MutexLock lock(&mu_);
  Queue* const queue = &queues_[index];
  while (!queue->items.empty() && items.size() < kTierBatchBlocks) {
    Item& next = queue->items.front();
    bytes += next.block.size_bytes();
    if (!items.empty() && bytes > bytes_max) break;
    ++storing_[std::string(next.block.key())];
    items.push_back(std::move(next));
    queue->items.pop_front();
  }
  return items;
}

void TierWriter::StoreAll(std::span<Item> items) {
  Durability durability = Durability::kNone;
  std::vector<BlockInfo> infos(items.size());
  std::vector<Tier::Record> records;
  std::vector<Item*> stored;
  for (size_t i = 0; i < items.size(); ++i) {
    const BlockRef& block = items[i].block;
    // Only now that IsStoring tells of it: whoever replaces or removes the block either
    // sees that, or is seen here.
    const absl::StatusOr<BlockRef> current = world_.memory->Peek(block.key());
    const bool is_current = current.ok() && current->generation() == block.generation();
    if (rules::kCurrent && !is_current) {
      items[i].void_now = true;
      items[i].status = absl::AbortedError(
          "store: the block was replaced or removed before the disk had it");
      continue;
    }
    infos[i] = {.size_bytes = block.size_bytes(),
                .checksum = block.checksum(),
                .attributes = std::string(block.attributes())};
    records.push_back({.key = block.key(),
                       .generation = block.generation(),
                       .info = &infos[i],
                       .payload = block.bytes()});
    stored.push_back(&items[i]);
    durability = std::max(durability, items[i].durability);
  }
  if (records.empty()) return;
  absl::Status status = absl::UnavailableError("store: the disk tier takes none now");
  if (world_.health->may_store()) {
    const uint64_t call = world_.health->Begin(world_.clock->Now());
    status = world_.mask->tier()->Store(records, durability);
    world_.health->End(call, TierHealth::Call::kStore, status, world_.clock->Now());
  }
  for (Item* item : stored) item->status = status;
  if (!status.ok()) Warn(status, records);
}

void TierWriter::Warn(const absl::Status& status,
                      std::span<const Tier::Record> records) {
  Unlogged failed;
  {
    MutexLock lock(&mu_);
    for (const Tier::Record& record : records) {
      ++unlogged_.blocks;
      unlogged_.bytes += record.payload.size();
      unlogged_.largest_bytes =
          std::max<uint64_t>(unlogged_.largest_bytes, record.payload.size());
    }
    const Instant now = world_.clock->Now();
    if (now < next_warning_) return;
    next_warning_ = now + kTierWarningInterval;
    failed = std::exchange(unlogged_, {});
  }
  Log(LogLevel::kWarning,
      fmt::format("disk: it did not take {} with {}, the largest {}, since the last such "
                  "line: {}: {}",
                  CountText(failed.blocks, "block"), FormatSize(failed.bytes),
                  FormatSize(failed.largest_bytes),
                  ToStd(absl::StatusCodeToString(status.code())),
                  ToStd(status.message())));
}

void TierWriter::Finish(size_t index, std::vector<Item> items) {
  {
    MutexLock lock(&mu_);
    Queue* const queue = &queues_[index];
    for (const Item& item : items) {
      const auto storing = storing_.find(ToAbsl(item.block.key()));
      if (--storing->second == 0) storing_.erase(storing);
      const uint64_t bytes = item.block.size_bytes();
      --queue->blocks;
      queue->bytes -= bytes;
      if (item.void_now) continue;
      if (!item.status.ok()) {
        ++stats_.failed_blocks;
        continue;
      }
      const bool durable = item.durability != Durability::kNone;
      ++(durable ? stats_.durable_blocks : stats_.demoted_blocks);
      (durable ? stats_.durable_bytes : stats_.demoted_bytes) += bytes;
    }
    queue->running = false;
  }
  for (Item& item : items) {
    if (item.done) std::move(item.done)(item.status);
  }
}

TierWriter::Stats TierWriter::stats() const {
  MutexLock lock(&mu_);
  Stats stats = stats_;
  for (const Queue& queue : queues_) {
    stats.queued_blocks += queue.blocks;
    stats.queued_bytes += queue.bytes;
  }
  return stats;
}

}  // namespace kvasir
