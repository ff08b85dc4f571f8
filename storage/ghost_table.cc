#include "storage/ghost_table.h"

#include <algorithm>
#include <bit>

#include "storage/key_hash.h"

namespace kvasir {
namespace {

uint32_t FingerprintOf(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

}  // namespace

GhostTable::GhostTable(uint64_t entries_max)
    : buckets_(std::bit_ceil(std::max<uint64_t>(entries_max, 8)) / 8) {}

// The low half of the hash picks the bucket, the high half is the fingerprint.
GhostTable::Bucket& GhostTable::BucketOf(uint64_t hash) {
  return buckets_[hash & (buckets_.size() - 1)];
}

void GhostTable::Add(std::string_view key) {
  const uint64_t hash = HashKey(key);
  Bucket& bucket = BucketOf(hash);
  if (++now_ == 0) ++now_;
  const auto age = [this](const Entry& entry) {
    return entry.time == 0 ? UINT32_MAX : now_ - entry.time;
  };
  Entry& oldest = *std::max_element(
      bucket.begin(), bucket.end(),
      [&age](const Entry& a, const Entry& b) { return age(a) < age(b); });
  oldest = {.fingerprint = FingerprintOf(hash), .time = now_};
}

bool GhostTable::Take(std::string_view key, uint64_t window) {
  const uint64_t hash = HashKey(key);
  for (Entry& entry : BucketOf(hash)) {
    if (entry.time == 0 || entry.fingerprint != FingerprintOf(hash)) continue;
    const bool live = now_ - entry.time < window;
    entry = {};
    if (live) return true;
  }
  return false;
}

}  // namespace kvasir
