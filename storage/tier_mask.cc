#include "storage/tier_mask.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/rules.h"

namespace kvasir {

using absl::MutexLock;

void TierMask::Attach(Tier* tier) {
  KV_CHECK(this->tier() == nullptr);
  capacity_bytes_ = tier->stats().capacity_bytes;
  MutexLock lock(&mu_);
  tier_.store(tier, std::memory_order_release);
}

Tier* TierMask::TierInOrder() const {
  if (Tier* const there = tier(); there != nullptr) return there;
  MutexLock lock(&mu_);
  return tier();
}

std::optional<TierBlock> TierMask::Find(std::string_view key) const {
  const Tier* const tier = this->tier();
  if (tier == nullptr) return std::nullopt;
  std::optional<TierBlock> found = tier->Find(key);
  if (found.has_value() && IsHidden(key, found->generation)) found.reset();
  return found;
}

std::optional<uint64_t> TierMask::FindGeneration(std::string_view key) const {
  const std::optional<TierBlock> found = Find(key);
  return found.has_value() ? std::optional(found->generation) : std::nullopt;
}

std::vector<Tier::Listed> TierMask::List(std::string_view prefix, std::string_view after,
                                         size_t limit) const {
  const Tier* const tier = this->tier();
  if (tier == nullptr) return {};
  std::vector<Tier::Listed> shown;
  std::string from(after);
  while (true) {
    const size_t asked = limit - shown.size();
    std::vector<Tier::Listed> page = tier->List(prefix, from, asked);
    const bool last = page.size() < asked;
    if (!page.empty()) from = page.back().key;
    for (Tier::Listed& one : page) {
      if (!IsHidden(one.key, one.block.generation)) shown.push_back(std::move(one));
    }
    if (last || shown.size() == limit) return shown;
  }
}

bool TierMask::IsHidden(std::string_view key, uint64_t generation) const {
  if (hidden_count_.load(std::memory_order_acquire) == 0) return false;
  MutexLock lock(&mu_);
  const auto it = hidden_.find(ToAbsl(key));
  return it != hidden_.end() && generation <= it->second;
}

void TierMask::Hide(std::string_view key, uint64_t generation) {
  if (!rules::kHidden) return;
  MutexLock lock(&mu_);
  uint64_t& hidden = hidden_[std::string(key)];
  hidden = std::max(hidden, generation);
  hidden_count_.store(hidden_.size(), std::memory_order_release);
}

void TierMask::Forget(std::string_view key, uint64_t generation) {
  MutexLock lock(&mu_);
  const auto it = hidden_.find(ToAbsl(key));
  if (it == hidden_.end() || it->second > generation) return;
  hidden_.erase(it);
  hidden_count_.store(hidden_.size(), std::memory_order_release);
}

}  // namespace kvasir
