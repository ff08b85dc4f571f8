#include "storage/index.h"

#include "base/check.h"
#include "base/rules.h"

namespace kvasir {
namespace {

// malloc's header and rounding, on average.
constexpr uint64_t kMallocBytes = 16;
// A control byte and a pointer.
constexpr uint64_t kHashSlotBytes = 9;
// A pointer in nodes about 70 % full.
constexpr uint64_t kTreeEntryBytes = 12;

}  // namespace

Index::Index(const BlocksBelow* below) : below_(below) {}

Index::~Index() {
  for (Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mu);
    KV_CHECK(shard.by_hash.empty() && shard.filling.empty());
  }
}

bool Index::Shard::FillingLocked(std::string_view key) const {
  const auto it = filling.lower_bound(key);
  return it != filling.end() && (*it)->key() == key;
}

void Index::Shard::EraseLocked(Block* block) {
  by_key.erase(block);
  by_hash.erase(block);
  block->ClearIndexed();
}

Index::Lookup Index::Probe(std::string_view key) const {
  const HashedKey hashed(key);
  const Shard& shard = ShardOfKey(hashed);
  absl::ReaderMutexLock lock(&shard.mu);
  return {.committed = shard.by_hash.contains(hashed),
          .filling = shard.FillingLocked(key)};
}

Block* Index::Find(std::string_view key) const {
  const HashedKey hashed(key);
  const Shard& shard = ShardOfKey(hashed);
  absl::ReaderMutexLock lock(&shard.mu);
  const auto it = shard.by_hash.find(hashed);
  if (it == shard.by_hash.end()) return nullptr;
  (*it)->Hold();
  return *it;
}

absl::Status Index::Bind(Block* block) {
  const HashedKey hashed(block->key());
  Shard& shard = ShardOfKey(hashed);
  absl::MutexLock lock(&shard.mu);
  if (!block->replacing && (shard.by_hash.contains(hashed) || IsBelow(hashed.key))) {
    return absl::AlreadyExistsError("reserve: the key is committed");
  }
  if (!block->replacing && shard.FillingLocked(hashed.key)) {
    return absl::AbortedError("reserve: another reservation fills the key");
  }
  shard.filling.insert(block);
  block->bound = true;
  return absl::OkStatus();
}

void Index::Unbind(Block* block) {
  Shard& shard = ShardOfKey(HashedKey(block->key()));
  absl::MutexLock lock(&shard.mu);
  if (!block->bound) return;
  block->bound = false;
  shard.filling.erase(block);
}

Index::Published Index::Publish(Block* block, std::atomic<uint64_t>* generations) {
  const HashedKey hashed(block->key());
  Shard& shard = ShardOfKey(hashed);
  absl::MutexLock lock(&shard.mu);
  if (!block->bound) {
    return {absl::FailedPreconditionError("commit: the reservation was unbound")};
  }
  block->bound = false;
  shard.filling.erase(block);  // Sorted by the generation that changes below.
  Block* replaced = nullptr;
  if (const auto it = shard.by_hash.find(hashed); it != shard.by_hash.end()) {
    if (!block->replacing) {
      return {absl::AlreadyExistsError("commit: another writer committed the key first")};
    }
    replaced = *it;
    shard.EraseLocked(replaced);
  } else if (!block->replacing && IsBelow(hashed.key)) {
    return {absl::AlreadyExistsError("commit: the key went below meanwhile")};
  }
  block->set_generation(generations->fetch_add(1, std::memory_order_relaxed));
  Insert(&shard, block);
  return {absl::OkStatus(), replaced};
}

absl::Status Index::PublishCopy(Block* block) {
  const HashedKey hashed(block->key());
  Shard& shard = ShardOfKey(hashed);
  absl::MutexLock lock(&shard.mu);
  if (shard.by_hash.contains(hashed)) {
    return absl::AlreadyExistsError("promote: the key is in memory");
  }
  const bool gone =
      below_ == nullptr || below_->FindGeneration(hashed.key) != block->generation();
  if (rules::kRechecked && gone) {
    return absl::NotFoundError("promote: the block is gone from below");
  }
  Insert(&shard, block);
  return absl::OkStatus();
}

void Index::Insert(Shard* shard, Block* block) {
  block->Hold();
  block->SetIndexed();
  const size_t slots = shard->by_hash.capacity();
  shard->by_hash.insert(block);
  hash_slots_.fetch_add(shard->by_hash.capacity() - slots, std::memory_order_relaxed);
  shard->by_key.insert(block);
}

Block* Index::Take(std::string_view key) {
  const HashedKey hashed(key);
  Shard& shard = ShardOfKey(hashed);
  absl::MutexLock lock(&shard.mu);
  const auto it = shard.by_hash.find(hashed);
  if (it == shard.by_hash.end()) return nullptr;
  Block* const block = *it;
  shard.EraseLocked(block);
  return block;
}

Block* Index::TakeGeneration(std::string_view key, uint64_t generation) {
  const HashedKey hashed(key);
  Shard& shard = ShardOfKey(hashed);
  absl::MutexLock lock(&shard.mu);
  const auto it = shard.by_hash.find(hashed);
  if (it == shard.by_hash.end() || (*it)->generation() != generation) return nullptr;
  Block* const block = *it;
  shard.EraseLocked(block);
  return block;
}

bool Index::TakeIdle(Block* block) {
  Shard& shard = ShardOfKey(HashedKey(block->key()));
  absl::MutexLock lock(&shard.mu);
  if (!block->IsIdle(/*mine=*/1)) return false;
  shard.EraseLocked(block);
  return true;
}

void Index::TakeAll(absl::FunctionRef<void(Block* block)> take) {
  for (Shard& shard : shards_) {
    decltype(shard.by_key) taken;
    {
      absl::MutexLock lock(&shard.mu);
      taken.swap(shard.by_key);
      for (Block* block : taken) block->ClearIndexed();
      shard.by_hash.clear();
    }
    for (Block* block : taken) take(block);
  }
}

void Index::VisitShard(size_t shard, std::string_view prefix, std::string_view after,
                       size_t limit,
                       absl::FunctionRef<void(const Block& block)> visit) const {
  const Shard& from = shards_[shard];
  absl::ReaderMutexLock lock(&from.mu);
  auto it =
      after < prefix ? from.by_key.lower_bound(prefix) : from.by_key.upper_bound(after);
  for (; it != from.by_key.end() && limit > 0; ++it, --limit) {
    if (!(*it)->key().starts_with(prefix)) return;
    visit(**it);
  }
}

uint64_t Index::memory_bytes(uint64_t blocks) const {
  return sizeof(*this) + hash_slots_.load(std::memory_order_relaxed) * kHashSlotBytes +
         blocks * (sizeof(Block) + kMallocBytes + kTreeEntryBytes);
}

}  // namespace kvasir
