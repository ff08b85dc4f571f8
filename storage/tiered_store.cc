#include "storage/tiered_store.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/checksum.h"
#include "base/limits.h"
#include "base/random.h"
#include "base/rules.h"
#include "fmt/core.h"

namespace kvasir {
namespace {

uint64_t QueueBytesMax(const Arena& arena) {
  return std::min(kTierQueueBytesMax,
                  arena.usage().capacity_bytes / kTierQueueArenaPart);
}

// A key as long as keys may be, that nobody else will think of.
std::string RandomKey() {
  std::string key(kMaxKeyBytes, '\0');
  SecureRandom(std::as_writable_bytes(std::span(key.data(), key.size())));
  return key;
}

KeyInfo InfoOf(Tier::Listed&& listed) {
  return {.key = std::move(listed.key),
          .size_bytes = listed.block.info.size_bytes,
          .checksum = listed.block.info.checksum,
          .attributes = std::move(listed.block.info.attributes),
          .residency = Residency::kDisk,
          .references = 0,
          .generation = listed.block.generation};
}

}  // namespace

TieredStore::TieredStore(Arena* arena, const Options& options, const Clock* clock,
                         Executor* store_executor, Executor* load_executor)
    : options_(options),
      clock_(clock),
      store_executor_(store_executor),
      memory_(arena, {.eviction_policy = options.eviction_policy, .below = &mask_}),
      writer_({.executor = store_executor,
               .clock = clock,
               .memory = &memory_,
               .mask = &mask_,
               .health = &health_,
               .queue_bytes_max = QueueBytesMax(*arena)}),
      eraser_({.executor = store_executor,
               .clock = clock,
               .mask = &mask_,
               .health = &health_}),
      promoter_({.executor = load_executor,
                 .clock = clock,
                 .memory = &memory_,
                 .mask = &mask_,
                 .health = &health_,
                 .queue_bytes_max = QueueBytesMax(*arena)}),
      demoter_(options.demotion, &memory_, &mask_, &health_, &writer_),
      probe_key_(RandomKey()) {}

void TieredStore::Attach(Tier* tier) {
  KV_CHECK(memory_.stats().blocks == 0 || tier->generation_max() == 0);
  KV_CHECK(store_executor_ != nullptr);
  memory_.GoBeyond(tier->generation_max());
  mask_.Attach(tier);
  health_.SetPresent();
}

void TieredStore::TryWrites() {
  const uint64_t call = health_.Begin(clock_->Now());
  const absl::Status status = mask_.tier()->Delete({});
  health_.End(call, TierHealth::Call::kDelete, status, clock_->Now());
}

Residency TieredStore::Probe(std::string_view key) const {
  const Residency here = memory_.Probe(key);
  if (mask_.tier() == nullptr) return here;
  const bool below = mask_.FindGeneration(key).has_value();
  if (here == Residency::kMemory) return below ? Residency::kBoth : here;
  return below ? Residency::kDisk : here;
}

std::vector<KeyInfo> TieredStore::List(std::string_view prefix, std::string_view after,
                                       size_t limit) const {
  std::vector<KeyInfo> here = memory_.List(prefix, after, limit);
  std::vector<Tier::Listed> below = mask_.List(prefix, after, limit);
  if (below.empty()) return here;
  std::vector<KeyInfo> merged;
  auto next = here.begin();
  for (Tier::Listed& one : below) {
    while (next != here.end() && next->key < one.key) merged.push_back(std::move(*next++));
    if (next != here.end() && next->key == one.key) {
      next->residency = Residency::kBoth;
      merged.push_back(std::move(*next++));
    } else {
      merged.push_back(InfoOf(std::move(one)));
    }
  }
  std::move(next, here.end(), std::back_inserter(merged));
  if (merged.size() > limit) merged.resize(limit);
  return merged;
}

absl::StatusOr<KeyInfo> TieredStore::Stat(std::string_view key) const {
  absl::StatusOr<KeyInfo> here = memory_.Stat(key);
  std::optional<TierBlock> below = mask_.Find(key);
  if (!below.has_value()) return here;
  if (!here.ok()) return InfoOf({.key = std::string(key), .block = *std::move(below)});
  here->residency = Residency::kBoth;
  return here;
}

absl::StatusOr<Reservation> TieredStore::Reserve(
    std::string_view key, const BlockStore::ReserveOptions& options) {
  if (options.replace && mask_.FindGeneration(key).has_value()) {
    if (!health_.may_store() || eraser_.full()) {
      return absl::UnavailableError(
          "reserve: the key has a block on disk, which cannot be deleted now");
    }
  }
  return memory_.Reserve(key, options);
}

absl::Status TieredStore::CheckDurable(uint64_t size_bytes) const {
  return writer_.CheckDurable(size_bytes);
}

absl::StatusOr<uint64_t> TieredStore::Commit(Reservation reservation, uint64_t checksum,
                                             Durability durability) {
  // Held until what is older is hidden: were it evicted before, that would show.
  absl::StatusOr<BlockRef> block = memory_.CommitAndHold(std::move(reservation), checksum);
  if (!block.ok()) return block.status();
  if (durability == Durability::kNone && !HasTier()) return 0;
  return SettleBelow(*std::move(block), durability);
}

absl::StatusOr<uint64_t> TieredStore::SettleBelow(BlockRef block, Durability durability) {
  const std::string key(block.key());
  // In this order: a store that ends in between is seen by the second.
  const bool older =
      HasTier() && (writer_.IsStoring(key) || GenerationOnDisk(key) != 0);
  if (!older && durability == Durability::kNone) {
    if (options_.write_policy == WritePolicy::kWriteThrough) {
      writer_.Demote(std::move(block));
    }
    return 0;
  }
  const uint64_t hidden = block.generation() - 1;
  if (durability == Durability::kNone) {
    const uint64_t id = settlements_.Open();
    eraser_.Erase(key, hidden, [this, id](const absl::Status& status) {
      settlements_.Settle(id, status);
    });
    return id;
  }
  if (older) mask_.Hide(key, hidden);
  return StoreDurably(std::move(block), durability, /*replaces=*/older);
}

uint64_t TieredStore::StoreDurably(BlockRef block, Durability durability,
                                   bool replaces) {
  const std::string key(block.key());
  const uint64_t generation = block.generation();
  const uint64_t id = settlements_.Open();
  durable_stores_.Begin(
      key, {.generation = generation, .durability = durability, .settlement = id});
  writer_.StoreDurably(
      std::move(block), durability,
      [this, key, generation, replaces, id](const absl::Status& stored) {
        if (replaces) SettleReplaced(key, generation, stored);
        durable_stores_.End(key, id);
        settlements_.Settle(id, stored);
      });
  return id;
}

absl::StatusOr<uint64_t> TieredStore::MakeDurable(std::string_view key,
                                                  Durability durability) {
  absl::StatusOr<BlockRef> block = memory_.Peek(key);
  const std::optional<TierBlock> below = mask_.Find(key);
  if (!block.ok() && !below.has_value()) {
    return absl::NotFoundError("store: the key is not stored");
  }
  const bool stored =
      below.has_value() && (!block.ok() || below->generation == block->generation());
  if (!rules::kAsDurable) return 0;
  if (stored && below->durability >= durability) {
    return below->promised ? 0 : PromiseBelow(key, below->generation);
  }
  if (!block.ok()) {
    return absl::UnavailableError(
        "store: the block is on disk only, which does not promise as much");
  }
  const uint64_t open = durable_stores_.Find(key, block->generation(), durability);
  if (open != 0) return open;
  absl::Status possible = CheckDurable(block->size_bytes());
  if (!possible.ok()) return possible;
  return StoreDurably(*std::move(block), durability, /*replaces=*/false);
}

uint64_t TieredStore::PromiseBelow(std::string_view key, uint64_t generation) {
  if (!health_.may_store()) return 0;
  const uint64_t id = settlements_.Open();
  auto promise = [this, id, key = std::string(key), generation] {
    const uint64_t call = health_.Begin(clock_->Now());
    const absl::Status status = mask_.tier()->Promise(key, generation);
    health_.End(call, TierHealth::Call::kDelete, status, clock_->Now());
    settlements_.Settle(id, absl::OkStatus());
  };
  if (!store_executor_->Submit(std::move(promise))) {
    settlements_.Settle(id, absl::OkStatus());
  }
  return id;
}

uint64_t TieredStore::GenerationOnDisk(std::string_view key) const {
  const std::optional<TierBlock> found = mask_.tier()->Find(key);
  return found.has_value() ? found->generation : 0;
}

// The durable store of a block has ended; what it replaced is hidden.
void TieredStore::SettleReplaced(std::string_view key, uint64_t generation,
                                 const absl::Status& stored) {
  const uint64_t hidden = generation - 1;
  // In this order: a deletion that ends in between is seen by the second.
  const bool erasing = eraser_.Find(key) != TierEraser::Fate::kNone;
  const uint64_t on_disk = GenerationOnDisk(key);
  if (on_disk > hidden) {
    mask_.Forget(key, hidden);  // The tier has let go of the older one itself.
  } else if (!stored.ok() && on_disk != 0 && !erasing) {
    // The older one is the last that was promised. Back to it, unless the block was
    // replaced or removed: who did that has seen the older one, and settles it.
    if (memory_.RemoveGeneration(key, generation).ok()) mask_.Forget(key, hidden);
  } else {
    // Nothing older is left that can be told of. A store of it may be under way.
    eraser_.Erase(key, hidden, [](const absl::Status&) {});
  }
}

bool TieredStore::Promote(std::string_view key, Promoter::Landed landed) {
  const std::optional<TierBlock> block = mask_.Find(key);
  return block.has_value() && promoter_.Start(key, *block, std::move(landed));
}

TieredStore::Removed TieredStore::Remove(std::string_view key) {
  // A tier that comes meanwhile may get the block until it is gone from memory.
  bool removed = mask_.tier() == nullptr && memory_.Remove(key).ok();
  if (!HasTier()) return removed ? Removed::kRemoved : Removed::kAbsent;
  const bool possible = health_.may_store() && !eraser_.full();
  if (!possible && mask_.FindGeneration(key).has_value()) return Removed::kFailed;
  removed = memory_.Remove(key).ok() || removed;
  // In this order: a store that ends in between is seen by the second. What is hidden
  // without a deletion under way waits for a durable put, which is void now.
  const bool below = writer_.IsStoring(key) || mask_.FindGeneration(key).has_value();
  const TierEraser::Fate fate = eraser_.Find(key);
  if (below || (fate == TierEraser::Fate::kNone && GenerationOnDisk(key) != 0)) {
    eraser_.Erase(key, memory_.NextGeneration(), [](const absl::Status&) {});
    // A promotion may have published the block again before it was hidden.
    memory_.Remove(key).IgnoreError();  // Absent mostly.
    return Removed::kPending;
  }
  switch (fate) {
    case TierEraser::Fate::kUnderWay:
      return Removed::kPending;
    case TierEraser::Fate::kFailed:
      return Removed::kFailed;
    case TierEraser::Fate::kNone:
      break;
  }
  return removed ? Removed::kRemoved : Removed::kAbsent;
}

TieredStore::Removed TieredStore::RemovalOf(std::string_view key) const {
  switch (eraser_.Find(key)) {
    case TierEraser::Fate::kUnderWay:
      return Removed::kPending;
    case TierEraser::Fate::kFailed:
      return Removed::kFailed;
    case TierEraser::Fate::kNone:
      break;
  }
  return Removed::kRemoved;
}

void TieredStore::Step() {
  demoter_.Step();
  if (mask_.tier() == nullptr) return;
  writer_.Step();
  eraser_.Step();
  promoter_.Step();
  if (health_.Step(clock_->Now())) {
    // Not now if the executor is full: the next probe is due soon.
    (void)store_executor_->Submit([this] { ProbeTier(); });
  }
}

// Stores, loads and deletes a block that is nobody's.
void TieredStore::ProbeTier() {
  std::vector<std::byte> payload(kTierProbeBytes);
  const BlockInfo info{.size_bytes = payload.size(),
                       .checksum = BlockChecksum(ChecksumSeed(probe_key_), payload)};
  const uint64_t generation = memory_.NextGeneration();
  const Tier::Record record{
      .key = probe_key_, .generation = generation, .info = &info, .payload = payload};
  uint64_t call = health_.Begin(clock_->Now());
  const absl::Status stored = mask_.tier()->Store({&record, 1}, Durability::kPower);
  health_.End(call, TierHealth::Call::kStore, stored, clock_->Now());
  if (!stored.ok()) return;
  Tier::Read read{
      .key = probe_key_, .generation = generation, .payload = payload, .status = {}};
  call = health_.Begin(clock_->Now());
  mask_.tier()->Load({&read, 1});
  health_.End(call, TierHealth::Call::kLoad, read.status, clock_->Now());
  eraser_.Erase(probe_key_, generation, [](const absl::Status&) {});
}

bool TieredStore::SaveStep() {
  if (mask_.tier() == nullptr || !health_.may_store()) return writer_.idle();
  return demoter_.SaveStep() && writer_.idle();
}

TieredStore::Stats TieredStore::stats() const {
  Stats stats{.memory = memory_.stats(),
              .writer = writer_.stats(),
              .promoter = promoter_.stats(),
              .erasures = eraser_.size(),
              .has_tier = mask_.tier() != nullptr,
              .tier = {}};
  if (stats.has_tier) {
    stats.tier = mask_.tier()->stats();
  } else {
    stats.memory.evicted_unsaved_blocks_total = 0;
  }
  return stats;
}

}  // namespace kvasir
