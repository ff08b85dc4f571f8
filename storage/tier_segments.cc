#include "storage/tier_segments.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"
#include "base/limits.h"

namespace kvasir {
namespace {

// Files of one class differ in size by less than four times, so that a byte is merged at
// most once a class: merging costs a logarithm, not a square.
size_t SizeClass(uint64_t file_bytes) { return (std::bit_width(file_bytes) + 1) / 2; }
constexpr size_t kSizeClasses = 33;

uint64_t LiveBytes(const TierSegments::Segment& segment) {
  return static_cast<uint64_t>(std::max<int64_t>(segment.live_bytes, 0));
}

}  // namespace

void TierSegments::Add(const NewSegment& segment) {
  absl::MutexLock lock(&mu_);
  KV_CHECK(segments_
               .try_emplace(segment.number, Segment{.file_bytes = segment.file_bytes,
                                                    .record_bytes = segment.record_bytes})
               .second);
  used_bytes_ += segment.file_bytes;
}

void TierSegments::Fix(uint64_t number) {
  absl::MutexLock lock(&mu_);
  const auto found = segments_.find(number);
  if (found != segments_.end()) found->second.fixed = true;
}

void TierSegments::SetRecordBytes(uint64_t number, uint64_t record_bytes) {
  absl::MutexLock lock(&mu_);
  const auto found = segments_.find(number);
  if (found != segments_.end()) found->second.record_bytes = record_bytes;
}

void TierSegments::Remove(uint64_t number) {
  absl::MutexLock lock(&mu_);
  const auto found = segments_.find(number);
  if (found == segments_.end()) return;
  used_bytes_ -= found->second.file_bytes;
  segments_.erase(found);
}

void TierSegments::AddLive(uint64_t number, uint64_t record_bytes) {
  absl::MutexLock lock(&mu_);
  const auto found = segments_.find(number);
  if (found == segments_.end()) return;
  found->second.live_bytes += static_cast<int64_t>(record_bytes);
  ++found->second.live_blocks;
}

void TierSegments::SubtractLive(uint64_t number, uint64_t record_bytes) {
  absl::MutexLock lock(&mu_);
  const auto found = segments_.find(number);
  if (found == segments_.end()) return;
  found->second.live_bytes -= static_cast<int64_t>(record_bytes);
  --found->second.live_blocks;
}

uint64_t TierSegments::used_bytes() const {
  absl::ReaderMutexLock lock(&mu_);
  return used_bytes_;
}

uint64_t TierSegments::count() const {
  absl::ReaderMutexLock lock(&mu_);
  return segments_.size();
}

std::optional<TierSegments::Segment> TierSegments::Find(uint64_t number) const {
  absl::ReaderMutexLock lock(&mu_);
  const auto found = segments_.find(number);
  if (found == segments_.end()) return std::nullopt;
  return found->second;
}

std::vector<uint64_t> TierSegments::Numbers() const {
  absl::ReaderMutexLock lock(&mu_);
  std::vector<uint64_t> numbers;
  for (const auto& [number, segment] : segments_) numbers.push_back(number);
  return numbers;
}

std::optional<uint64_t> TierSegments::OldestAfter(uint64_t after) const {
  absl::ReaderMutexLock lock(&mu_);
  const auto found = segments_.upper_bound(after);
  if (found == segments_.end()) return std::nullopt;
  return found->first;
}

std::vector<uint64_t> TierSegments::Dead() const {
  absl::ReaderMutexLock lock(&mu_);
  std::vector<uint64_t> dead;
  for (const auto& [number, segment] : segments_) {
    if (segment.live_blocks <= 0) dead.push_back(number);
  }
  return dead;
}

std::vector<uint64_t> TierSegments::ToRewrite() const {
  absl::ReaderMutexLock lock(&mu_);
  std::vector<uint64_t> sparse = SparseLocked();
  return sparse.empty() ? SmallLocked() : sparse;
}

std::vector<uint64_t> TierSegments::SparseLocked() const {
  std::vector<uint64_t> sparse;
  uint64_t live_bytes = 0;
  for (const auto& [number, segment] : segments_) {
    const uint64_t live = LiveBytes(segment);
    if (segment.fixed || live >= segment.record_bytes / kTierSparseDivisor) continue;
    if (!sparse.empty() && live_bytes + live > segment_bytes_) break;
    sparse.push_back(number);
    live_bytes += live;
  }
  return sparse;
}

std::vector<uint64_t> TierSegments::SmallLocked() const {
  std::array<std::vector<uint64_t>, kSizeClasses> classes;
  for (const auto& [number, segment] : segments_) {
    if (segment.fixed) continue;
    if (segment.file_bytes >= segment_bytes_ / kTierSmallSegmentDivisor) continue;
    std::vector<uint64_t>& small = classes[SizeClass(segment.file_bytes)];
    small.push_back(number);
    if (small.size() == kTierMergeWidth) return small;
  }
  return {};
}

}  // namespace kvasir
