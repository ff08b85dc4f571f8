#include "storage/block_store.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "storage/block_internal.h"
#include "storage/index.h"
#include "storage/key_listing.h"
#include "storage/room_maker.h"
#include "storage/victim_queue.h"

namespace kvasir {
namespace {

// Times that Reserve makes room before it gives up: each round evicts something, but
// readers may come for the rest of a window.
constexpr int kRoundsMax = RoomMaker::kRoundsInOrder + 32;
// Blocks that are not below which one Reserve passes over, to drop later ones that are.
// Whoever moves blocks down takes the coldest first, so few stand before one that is.
constexpr size_t kSparedMax = 64;

absl::Status CheckArguments(std::string_view key,
                            const BlockStore::ReserveOptions& options) {
  if (key.empty() || key.size() > kMaxKeyBytes) {
    return absl::InvalidArgumentError(fmt::format(
        "reserve: key of {} bytes is not in [1, {}]", key.size(), kMaxKeyBytes));
  }
  if (options.size_bytes == 0 || options.size_bytes > kMaxBlockBytes) {
    return absl::InvalidArgumentError(fmt::format("reserve: {} bytes are not in [1, {}]",
                                                  options.size_bytes, kMaxBlockBytes));
  }
  if (options.attributes.size() > kMaxAttributesBytes) {
    return absl::InvalidArgumentError(
        fmt::format("reserve: attributes of {} bytes exceed {}",
                    options.attributes.size(), kMaxAttributesBytes));
  }
  return absl::OkStatus();
}

// Blocks in one state and what they take in the arena. A block is added to its next
// account before it leaves the last, so a reader may see it twice but never less than 0.
struct Account {
  void Add(const Block& block) {
    blocks.fetch_add(1, std::memory_order_relaxed);
    bytes.fetch_add(block.allocated_bytes(), std::memory_order_relaxed);
  }
  void Subtract(const Block& block) {
    blocks.fetch_sub(1, std::memory_order_relaxed);
    bytes.fetch_sub(block.allocated_bytes(), std::memory_order_relaxed);
  }
  std::atomic<uint64_t> blocks{0};
  std::atomic<uint64_t> bytes{0};
};

}  // namespace

class BlockStore::Impl final : public BlockOwner {
 public:
  Impl(Arena* arena, const Options& options)
      : arena_(arena),
        below_(options.below),
        index_(options.below),
        victims_(options.eviction_policy, arena->usage().capacity_bytes) {}

  ~Impl() {
    index_.TakeAll([this](Block* block) { Detach(block, VictimQueue::Why::kRemoved); });
    // A BlockRef or Reservation must not outlive its store.
    KV_CHECK(unbound_.blocks == 0 && reserved_.blocks == 0);
  }

  // BlockOwner.
  void Release(Block* block) override {
    Block::Dropped dropped = block->Drop();
    while (dropped == Block::Dropped::kMustUnpark) {
      victims_.Unpark(block);
      dropped = block->Drop();
    }
    if (dropped == Block::Dropped::kLast) Free(block, &unbound_);
  }
  void Unbind(Block* block) override { index_.Unbind(block); }
  void Abandon(Block* block) override {
    index_.Unbind(block);
    Free(block, &reserved_);
  }
  Region* region() const override { return arena_->region(); }

  absl::StatusOr<Block*> Reserve(std::string_view key, const ReserveOptions& options) {
    Block* const block =
        Block::New(key, options.attributes, options.size_bytes,
                   next_generation_.fetch_add(1, std::memory_order_relaxed));
    block->replacing = options.replace;
    absl::Status status = index_.Bind(block);
    if (status.ok()) {
      status = AllocateOrEvict(block);
      if (status.ok()) {
        reserved_.Add(*block);
        return block;
      }
      index_.Unbind(block);
    }
    Block::Delete(block);
    return status;
  }

  absl::StatusOr<Block*> ReserveCopy(std::string_view key, const BlockInfo& info,
                                     uint64_t generation) {
    Block* const block = Block::New(key, info.attributes, info.size_bytes, generation);
    if (absl::Status status = AllocateOrEvict(block); !status.ok()) {
      Block::Delete(block);
      return status;
    }
    reserved_.Add(*block);
    return block;
  }

  // On OK the caller has a reference, where it had the reservation.
  absl::Status CommitCopy(Block* block, uint64_t checksum) {
    block->set_checksum(checksum);
    committed_.Add(*block);
    if (absl::Status status = index_.PublishCopy(block); !status.ok()) {
      committed_.Subtract(*block);
      Free(block, &reserved_);
      return status;
    }
    reserved_.Subtract(*block);
    victims_.Add(block);
    return absl::OkStatus();
  }

  // On OK the caller has a reference, where it had the reservation.
  absl::Status Commit(Block* block, uint64_t checksum) {
    block->set_checksum(checksum);
    committed_.Add(*block);
    Index::Published published = index_.Publish(block, &next_generation_);
    if (!published.status.ok()) {
      committed_.Subtract(*block);
      Free(block, &reserved_);
      return std::move(published.status);
    }
    reserved_.Subtract(*block);
    if (published.replaced != nullptr) {
      Detach(published.replaced, VictimQueue::Why::kRemoved);
    }
    // After the index, so that eviction never meets a block that is not there yet.
    victims_.Add(block);
    return absl::OkStatus();
  }

  Block* Find(std::string_view key) { return index_.Find(key); }
  void Touch(Block* block) { victims_.Touch(block); }

  bool Remove(std::string_view key) { return DetachRemoved(index_.Take(key)); }
  bool RemoveGeneration(std::string_view key, uint64_t generation) {
    return DetachRemoved(index_.TakeGeneration(key, generation));
  }

  uint64_t Evict(uint64_t target_bytes) ABSL_LOCKS_EXCLUDED(room_mu_) {
    uint64_t freed = 0;
    while (freed < target_bytes) {
      absl::MutexLock lock(&room_mu_);  // One at a time: a put that waits goes between.
      Block* const victim = victims_.PopIdle();
      if (victim == nullptr) break;
      const uint64_t bytes = victim->allocated_bytes();
      if (EvictHeld(victim)) freed += bytes;
    }
    return freed;
  }

  // Takes over the caller's reference.
  uint64_t EvictIfIdle(Block* block) ABSL_LOCKS_EXCLUDED(room_mu_) {
    absl::MutexLock lock(&room_mu_);
    const uint64_t bytes = block->allocated_bytes();
    return EvictHeld(block) ? bytes : 0;
  }
  std::vector<ColdBlock> Coldest(size_t blocks_max) const {
    return victims_.ListColdest(blocks_max);
  }

  uint64_t NextGeneration() {
    return next_generation_.fetch_add(1, std::memory_order_relaxed);
  }
  void GoBeyond(uint64_t generation) {
    uint64_t next = next_generation_.load(std::memory_order_relaxed);
    while (next <= generation && !next_generation_.compare_exchange_weak(
                                     next, generation + 1, std::memory_order_relaxed)) {
    }
  }

  Stats stats() const {
    return {
        .blocks = committed_.blocks,
        .block_bytes = committed_.bytes,
        .reserved_blocks = reserved_.blocks,
        .reserved_bytes = reserved_.bytes,
        .unbound_blocks = unbound_.blocks,
        .unbound_bytes = unbound_.bytes,
        .evicted_blocks_total = evicted_.blocks,
        .evicted_bytes_total = evicted_.bytes,
        .evicted_unsaved_blocks_total = unsaved_.blocks,
        .index_bytes = index_.memory_bytes(committed_.blocks) + victims_.memory_bytes()};
  }

  const Index& index() const { return index_; }
  Arena* arena() const { return arena_; }

 private:
  // What BlockRef and Reservation let go of at last.
  void Free(Block* block, Account* account) {
    account->Subtract(*block);
    arena_->Free(block);
    Block::Delete(block);
  }

  // Moves a block that has left the index on to its last holders; takes over the index's
  // reference.
  void Detach(Block* block, VictimQueue::Why why) {
    unbound_.Add(*block);
    committed_.Subtract(*block);
    victims_.Retire(block, why);
    Release(block);
  }

  // `block`, if any, is out of the index. False if there is none.
  bool DetachRemoved(Block* block) {
    if (block != nullptr) Detach(block, VictimQueue::Why::kRemoved);
    return block != nullptr;
  }

  // Evicts a block, unless somebody but the caller holds it too. Takes over the caller's
  // reference.
  bool EvictHeld(Block* block) {
    const bool evicted = index_.TakeIdle(block);
    if (evicted) {
      evicted_.Add(*block);
      if (IsUnsaved(*block)) unsaved_.Add(*block);
      Detach(block, VictimQueue::Why::kEvicted);
    } else {
      victims_.PutBack(block);
    }
    Release(block);
    return evicted;
  }

  // The last place where the block is, though there is another.
  bool IsUnsaved(const Block& block) const {
    return below_ != nullptr && below_->exists() &&
           below_->FindGeneration(block.key()) != block.generation();
  }

  absl::Status AllocateOrEvict(Block* block) ABSL_LOCKS_EXCLUDED(room_mu_) {
    // While somebody makes room, others queue up instead of taking it from under them.
    if (makers_.load(std::memory_order_relaxed) == 0) {
      absl::Status status = arena_->Allocate(block->size_bytes(), block);
      if (status.ok()) return status;
    }
    makers_.fetch_add(1, std::memory_order_relaxed);
    absl::Status status = AllocateInTurn(block);
    makers_.fetch_sub(1, std::memory_order_relaxed);
    return status;
  }

  absl::Status AllocateInTurn(Block* block) ABSL_LOCKS_EXCLUDED(room_mu_) {
    absl::MutexLock lock(&room_mu_);
    std::vector<Block*> spared;  // Out of the order, each with a reference of ours.
    absl::Status status = AllocateInTurnLocked(block, &spared);
    for (Block* one : spared) {
      victims_.PutBack(one);
      Release(one);
    }
    return status;
  }

  absl::Status AllocateInTurnLocked(Block* block, std::vector<Block*>* spared)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(room_mu_) {
    for (int round = 0;;) {
      absl::Status status = arena_->Allocate(block->size_bytes(), block);
      if (status.ok() || round == kRoundsMax) return status;
      // What can never fit costs nobody a block.
      if (block->size_bytes() > arena_->usage().capacity_bytes) return status;
      std::vector<Block*> chosen = room_maker_.Choose(block->size_bytes(), round);
      if (chosen.size() == 1 && spared->size() < kSparedMax && IsUnsaved(*chosen[0])) {
        spared->push_back(chosen[0]);
        continue;
      }
      if (chosen.empty() && !spared->empty()) {  // Nothing else is left.
        chosen.push_back(spared->front());
        spared->erase(spared->begin());
      }
      if (chosen.empty()) return status;
      ++round;
      bool whole = true;
      for (Block* victim : chosen) {
        // A reader who came meanwhile keeps its block, and so the rest may stay too.
        if (whole)
          whole = EvictHeld(victim);
        else
          Release(victim);
      }
    }
  }

  Arena* const arena_;
  const BlocksBelow* const below_;
  Index index_;
  VictimQueue victims_;
  Account committed_, reserved_, unbound_, evicted_, unsaved_;
  std::atomic<uint64_t> next_generation_{1};
  // Who makes room or waits to. Relaxed: it only steers who goes first.
  std::atomic<int> makers_{0};
  // Held while evicting, before every other lock here, so that two who make room do not
  // stand in each other's way.
  absl::Mutex room_mu_;
  RoomMaker room_maker_ ABSL_GUARDED_BY(room_mu_){arena_, &victims_, this};
};

BlockStore::BlockStore(Arena* arena, const Options& options)
    : impl_(std::make_unique<Impl>(arena, options)) {}
BlockStore::~BlockStore() = default;

Residency BlockStore::Probe(std::string_view key) const {
  const Index::Lookup found = impl_->index().Probe(key);
  if (found.committed) return Residency::kMemory;
  return found.filling ? Residency::kReserved : Residency::kAbsent;
}

absl::StatusOr<Reservation> BlockStore::Reserve(std::string_view key,
                                                const ReserveOptions& options) {
  if (absl::Status status = CheckArguments(key, options); !status.ok()) return status;
  absl::StatusOr<Block*> block = impl_->Reserve(key, options);
  if (!block.ok()) return std::move(block).status();
  return Reservation(*block, impl_.get());
}

absl::Status BlockStore::Commit(Reservation reservation, uint64_t checksum) {
  return CommitAndHold(std::move(reservation), checksum).status();
}

absl::StatusOr<BlockRef> BlockStore::CommitAndHold(Reservation reservation,
                                                   uint64_t checksum) {
  KV_CHECK(!reservation.empty());
  Block* const block = std::exchange(reservation.block_, nullptr);
  absl::Status status = impl_->Commit(block, checksum);
  if (!status.ok()) return status;
  return BlockRef(block, impl_.get());
}

absl::StatusOr<Reservation> BlockStore::ReserveCopy(std::string_view key,
                                                    const BlockInfo& info,
                                                    uint64_t generation) {
  const ReserveOptions options{.size_bytes = info.size_bytes,
                               .attributes = info.attributes};
  if (absl::Status status = CheckArguments(key, options); !status.ok()) return status;
  absl::StatusOr<Block*> block = impl_->ReserveCopy(key, info, generation);
  if (!block.ok()) return std::move(block).status();
  return Reservation(*block, impl_.get());
}

absl::StatusOr<BlockRef> BlockStore::CommitCopy(Reservation reservation,
                                                uint64_t checksum) {
  KV_CHECK(!reservation.empty());
  Block* const block = std::exchange(reservation.block_, nullptr);
  absl::Status status = impl_->CommitCopy(block, checksum);
  if (!status.ok()) return status;
  return BlockRef(block, impl_.get());
}

absl::StatusOr<BlockRef> BlockStore::Fetch(std::string_view key) {
  absl::StatusOr<BlockRef> ref = Peek(key);
  if (ref.ok()) impl_->Touch(ref->block_);
  return ref;
}

absl::StatusOr<BlockRef> BlockStore::Peek(std::string_view key) {
  Block* const block = impl_->index().Find(key);
  // No key in the message: misses are common, and this one allocates little.
  if (block == nullptr) return absl::NotFoundError("fetch: the key is not stored");
  return BlockRef(block, impl_.get());
}

absl::Status BlockStore::Remove(std::string_view key) {
  if (!impl_->Remove(key)) return absl::NotFoundError("remove: the key is not stored");
  return absl::OkStatus();
}

absl::Status BlockStore::RemoveGeneration(std::string_view key, uint64_t generation) {
  if (impl_->RemoveGeneration(key, generation)) return absl::OkStatus();
  return absl::NotFoundError("remove: the block is not stored");
}

std::vector<KeyInfo> BlockStore::List(std::string_view prefix, std::string_view after,
                                      size_t limit) const {
  return ListKeys(impl_->index(), {.prefix = prefix, .after = after, .limit = limit});
}

absl::StatusOr<KeyInfo> BlockStore::Stat(std::string_view key) const {
  Block* const block = impl_->index().Find(key);
  if (block == nullptr) return absl::NotFoundError("stat: the key is not stored");
  const BlockRef ref(block, impl_.get());
  KeyInfo info = InfoOf(*block);
  --info.references;  // this one
  return info;
}

uint64_t BlockStore::Evict(uint64_t target_bytes) { return impl_->Evict(target_bytes); }

uint64_t BlockStore::EvictIfIdle(BlockRef block) {
  KV_CHECK(!block.empty());
  return impl_->EvictIfIdle(std::exchange(block.block_, nullptr));
}

std::vector<ColdBlock> BlockStore::Coldest(size_t blocks_max) const {
  return impl_->Coldest(blocks_max);
}

uint64_t BlockStore::NextGeneration() { return impl_->NextGeneration(); }
void BlockStore::GoBeyond(uint64_t generation) { impl_->GoBeyond(generation); }
BlockStore::Stats BlockStore::stats() const { return impl_->stats(); }
Arena* BlockStore::arena() const { return impl_->arena(); }

}  // namespace kvasir
