#include "storage/tier_catalog.h"

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "base/check.h"
#include "storage/shard_merge.h"

namespace kvasir {
namespace {

// What malloc adds to an allocation.
constexpr uint64_t kMallocBytes = 16;
// A hash slot is a pointer and a control byte; a tree's nodes are three quarters full.
constexpr uint64_t kHashSlotBytes = sizeof(void*) + 1;
constexpr uint64_t kTreeEntryBytes = 12;

}  // namespace

// One key. The key's bytes, then the attributes, follow it in memory.
struct TierCatalog::Entry {
  static Entry* New(std::string_view key, std::string_view attributes) {
    void* const memory = ::operator new(sizeof(Entry) + key.size() + attributes.size());
    auto* const entry = new (memory) Entry;
    entry->key_bytes = static_cast<uint16_t>(key.size());
    entry->attributes_bytes = static_cast<uint16_t>(attributes.size());
    key.copy(entry->text(), key.size());
    attributes.copy(entry->text() + key.size(), attributes.size());
    return entry;
  }
  static void Delete(Entry* entry) {
    entry->~Entry();
    ::operator delete(entry);
  }

  char* text() { return reinterpret_cast<char*>(this + 1); }
  const char* text() const { return reinterpret_cast<const char*>(this + 1); }
  std::string_view key() const { return {text(), key_bytes}; }
  std::string_view attributes() const { return {text() + key_bytes, attributes_bytes}; }
  bool live() const { return segment != kNoSegment; }
  uint64_t memory_bytes() const {
    return sizeof(Entry) + key_bytes + attributes_bytes + kMallocBytes;
  }
  Gone gone() const {
    return {.segment = segment,
            .size_bytes = size_bytes,
            .record_bytes = RecordHeadBytes(key_bytes, attributes_bytes) + size_bytes};
  }
  TierBlock block() const {
    return {.info = {.size_bytes = size_bytes,
                     .checksum = checksum,
                     .attributes = std::string(attributes())},
            .generation = generation,
            // What is placed in a segment was synced before.
            .durability = Durability::kPower,
            .promised = promised};
  }

  uint64_t segment = kNoSegment;
  uint64_t generation = 0;  // of the live block
  uint64_t size_bytes = 0;
  uint64_t checksum = 0;
  uint64_t hidden = 0;  // generations up to this one; 0: none
  uint16_t key_bytes = 0;
  uint16_t attributes_bytes = 0;
  bool promised = false;
  // Relaxed: a hint that readers set and whoever makes room looks at.
  mutable std::atomic<bool> used{false};
};

size_t TierCatalog::Hash::operator()(const Entry* entry) const {
  return HashKey(entry->key());
}
bool TierCatalog::Equal::operator()(const Entry* a, const HashedKey& b) const {
  return a->key() == b.key;
}
bool TierCatalog::ByKey::operator()(const Entry* a, const Entry* b) const {
  return a->key() < b->key();
}
bool TierCatalog::ByKey::operator()(const Entry* a, std::string_view b) const {
  return a->key() < b;
}
bool TierCatalog::ByKey::operator()(std::string_view a, const Entry* b) const {
  return a < b->key();
}

TierCatalog::Entry* TierCatalog::Shard::FindLocked(const HashedKey& key) const {
  const auto found = by_hash.find(key);
  return found == by_hash.end() ? nullptr : *found;
}

TierCatalog::~TierCatalog() {
  for (Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mu);
    for (Entry* entry : shard.by_hash) Entry::Delete(entry);
  }
}

void TierCatalog::InsertLocked(Shard& shard, Entry* entry) {
  const size_t slots = shard.by_hash.capacity();
  KV_CHECK(shard.by_hash.insert(entry).second);
  if (entry->live()) {
    shard.live.insert(entry);
    blocks_.fetch_add(1, std::memory_order_relaxed);
    block_bytes_.fetch_add(entry->size_bytes, std::memory_order_relaxed);
  }
  if (entry->hidden != 0) hidden_.fetch_add(1, std::memory_order_relaxed);
  entry_bytes_.fetch_add(entry->memory_bytes(), std::memory_order_relaxed);
  hash_slots_.fetch_add(shard.by_hash.capacity() - slots, std::memory_order_relaxed);
}

void TierCatalog::EraseLocked(Shard& shard, Entry* entry) {
  shard.by_hash.erase(shard.by_hash.find(HashedKey(entry->key())));
  if (entry->live()) {
    shard.live.erase(shard.live.find(entry));
    blocks_.fetch_sub(1, std::memory_order_relaxed);
    block_bytes_.fetch_sub(entry->size_bytes, std::memory_order_relaxed);
  }
  if (entry->hidden != 0) hidden_.fetch_sub(1, std::memory_order_relaxed);
  entry_bytes_.fetch_sub(entry->memory_bytes(), std::memory_order_relaxed);
}

TierCatalog::Gone TierCatalog::EndLocked(Shard& shard, Entry* entry) {
  const Gone gone = entry->gone();
  EraseLocked(shard, entry);
  if (entry->hidden != 0) {
    Entry* const rest = Entry::New(entry->key(), "");
    rest->hidden = entry->hidden;
    InsertLocked(shard, rest);
  }
  Entry::Delete(entry);
  return gone;
}

bool TierCatalog::Wants(std::string_view key, uint64_t generation) const {
  const HashedKey hashed(key);
  const Shard& shard = ShardOfKey(hashed);
  absl::ReaderMutexLock lock(&shard.mu);
  const Entry* const entry = shard.FindLocked(hashed);
  if (entry == nullptr) return true;
  return generation > entry->hidden && (!entry->live() || generation > entry->generation);
}

TierCatalog::Placed TierCatalog::Place(const ListingEntry& listed, uint64_t segment) {
  KV_CHECK(segment != kNoSegment);
  const DiskRecord& record = listed.record;
  const uint64_t generation = record.generation;
  Entry* const entry = Entry::New(record.key, record.attributes);
  entry->segment = segment;
  entry->generation = generation;
  entry->size_bytes = record.size_bytes;
  entry->checksum = record.checksum;
  entry->promised = listed.durable;
  const HashedKey hashed(record.key);
  Shard& shard = ShardOfKey(hashed);
  absl::MutexLock lock(&shard.mu);
  Placed placed{.live = true};
  Entry* const known = shard.FindLocked(hashed);
  if (known != nullptr) {
    const bool moved = known->live() && known->generation == generation &&
                       known->segment < segment;
    const bool newer = generation > known->hidden &&
                       (!known->live() || generation > known->generation);
    if (!moved && !newer) {
      Entry::Delete(entry);
      return {};
    }
    entry->hidden = known->hidden;
    placed.gone = known->gone();
    EraseLocked(shard, known);
    Entry::Delete(known);
  }
  InsertLocked(shard, entry);
  return placed;
}

void TierCatalog::Promise(std::string_view key, uint64_t generation) {
  const HashedKey hashed(key);
  Shard& shard = ShardOfKey(hashed);
  absl::MutexLock lock(&shard.mu);
  Entry* const entry = shard.FindLocked(hashed);
  if (entry == nullptr || !entry->live() || entry->generation != generation) return;
  entry->promised = true;
}

TierCatalog::Gone TierCatalog::Hide(std::string_view key, uint64_t generation) {
  const HashedKey hashed(key);
  Shard& shard = ShardOfKey(hashed);
  absl::MutexLock lock(&shard.mu);
  Entry* const known = shard.FindLocked(hashed);
  if (known == nullptr) {
    if (generation == 0) return {};
    Entry* const entry = Entry::New(key, "");
    entry->hidden = generation;
    InsertLocked(shard, entry);
    return {};
  }
  if (known->hidden < generation) {
    if (known->hidden == 0) hidden_.fetch_add(1, std::memory_order_relaxed);
    known->hidden = generation;
  }
  if (!known->live() || known->generation > generation) return {};
  return EndLocked(shard, known);
}

void TierCatalog::Forget(std::string_view key, uint64_t generation) {
  const HashedKey hashed(key);
  Shard& shard = ShardOfKey(hashed);
  absl::MutexLock lock(&shard.mu);
  Entry* const known = shard.FindLocked(hashed);
  if (known == nullptr || known->hidden == 0 || known->hidden > generation) return;
  if (known->live()) {
    known->hidden = 0;
    hidden_.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  EraseLocked(shard, known);
  Entry::Delete(known);
}

TierCatalog::Gone TierCatalog::Drop(std::string_view key, uint64_t generation,
                                    uint64_t segment) {
  const HashedKey hashed(key);
  Shard& shard = ShardOfKey(hashed);
  absl::MutexLock lock(&shard.mu);
  Entry* const known = shard.FindLocked(hashed);
  if (known == nullptr || !known->live() || known->generation != generation ||
      known->segment != segment) {
    return {};
  }
  return EndLocked(shard, known);
}

std::vector<TierCatalog::Gone> TierCatalog::DropSegment(uint64_t segment) {
  std::vector<Gone> gone;
  for (Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mu);
    std::vector<Entry*> there;
    for (Entry* entry : shard.live) {
      if (entry->segment == segment) there.push_back(entry);
    }
    for (Entry* entry : there) gone.push_back(EndLocked(shard, entry));
  }
  return gone;
}

TierCatalog::Located TierCatalog::Locate(std::string_view key,
                                         uint64_t generation) const {
  const HashedKey hashed(key);
  const Shard& shard = ShardOfKey(hashed);
  absl::ReaderMutexLock lock(&shard.mu);
  const Entry* const entry = shard.FindLocked(hashed);
  if (entry == nullptr || !entry->live() || entry->generation != generation) return {};
  return {.segment = entry->segment,
          .size_bytes = entry->size_bytes,
          .checksum = entry->checksum,
          .used = entry->used.load(std::memory_order_relaxed),
          .promised = entry->promised};
}

void TierCatalog::Use(std::string_view key, uint64_t generation) const {
  const HashedKey hashed(key);
  const Shard& shard = ShardOfKey(hashed);
  absl::ReaderMutexLock lock(&shard.mu);
  const Entry* const entry = shard.FindLocked(hashed);
  if (entry == nullptr || entry->generation != generation) return;
  // Readers of a hot key do not fight over its cache line.
  if (!entry->used.load(std::memory_order_relaxed)) {
    entry->used.store(true, std::memory_order_relaxed);
  }
}

std::optional<TierBlock> TierCatalog::Find(std::string_view key) const {
  const HashedKey hashed(key);
  const Shard& shard = ShardOfKey(hashed);
  absl::ReaderMutexLock lock(&shard.mu);
  const Entry* const entry = shard.FindLocked(hashed);
  if (entry == nullptr || !entry->live()) return std::nullopt;
  return entry->block();
}

std::vector<Tier::Listed> TierCatalog::ReadShard(size_t shard_number,
                                                 std::string_view prefix,
                                                 std::string_view after,
                                                 size_t limit) const {
  std::vector<Tier::Listed> listed;
  const Shard& shard = shards_[shard_number];
  absl::ReaderMutexLock lock(&shard.mu);
  auto next = after < prefix ? shard.live.lower_bound(prefix)
                             : shard.live.upper_bound(after);
  for (; next != shard.live.end() && listed.size() < limit; ++next) {
    if (!(*next)->key().starts_with(prefix)) break;
    listed.push_back({.key = std::string((*next)->key()), .block = (*next)->block()});
  }
  return listed;
}

std::vector<Tier::Listed> TierCatalog::List(std::string_view prefix,
                                            std::string_view after, size_t limit) const {
  return MergeShards<Tier::Listed>(
      {.shards = kShards, .limit = limit}, after,
      [&](size_t shard, std::string_view beyond, size_t page_keys) {
        return ReadShard(shard, prefix, beyond, page_keys);
      });
}

uint64_t TierCatalog::memory_bytes() const {
  return sizeof(*this) + entry_bytes_.load(std::memory_order_relaxed) +
         kHashSlotBytes * hash_slots_.load(std::memory_order_relaxed) +
         kTreeEntryBytes * blocks();
}

}  // namespace kvasir
