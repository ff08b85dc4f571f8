#include "storage/tier_health.h"

#include "base/bytes.h"
#include "base/check.h"
#include "fmt/core.h"

namespace kvasir {

using absl::MutexLock;

std::string_view TierStateName(TierState state) {
  switch (state) {
    case TierState::kHealthy:
      return "HEALTHY";
    case TierState::kDbSlow:
      return "DB_SLOW";
    case TierState::kDbReadOnly:
      return "DB_READ_ONLY";
    case TierState::kMemoryOnly:
      return "MEMORY_ONLY";
  }
  return "UNKNOWN";
}

uint64_t TierHealth::Begin(Instant now) {
  MutexLock lock(&mu_);
  const uint64_t id = next_id_++;
  begun_[id] = now;
  by_age_.emplace(now, id);
  return id;
}

void TierHealth::End(uint64_t id, Call call, const absl::Status& status, Instant now) {
  MutexLock lock(&mu_);
  const auto begun = begun_.find(id);
  KV_CHECK(begun != begun_.end());
  if (now - begun->second >= kTierSlowAfter) {
    slow_ = true;
    slow_until_ = now + kTierCalmAfter;
  }
  by_age_.erase({begun->second, id});
  begun_.erase(begun);
  const bool was_on = store_fault_.empty() && load_fault_.empty();
  if (call == Call::kLoad) {
    OnLoadLocked(status);
  } else if (call == Call::kStore || !status.ok()) {
    OnStoreLocked(status);
  }
  const bool is_on = store_fault_.empty() && load_fault_.empty();
  if (was_on && !is_on) next_probe_ = now + kTierProbeInterval;
}

void TierHealth::OnStoreLocked(const absl::Status& status) {
  if (status.ok()) {
    store_fault_.clear();
  } else {
    store_fault_ = fmt::format("stores fail: {}", ToStd(status.message()));
  }
}

void TierHealth::OnLoadLocked(const absl::Status& status) {
  if (!absl::IsUnavailable(status)) {
    load_failures_ = 0;
    load_fault_.clear();
  } else if (++load_failures_ >= kTierLoadFailuresMax) {
    load_fault_ = fmt::format("loads fail: {}", ToStd(status.message()));
  }
}

void TierHealth::SetAbsent(std::string_view reason) {
  MutexLock lock(&mu_);
  absence_ = reason;
}

void TierHealth::SetPresent() {
  MutexLock lock(&mu_);
  absence_.clear();
}

bool TierHealth::Step(Instant now) {
  MutexLock lock(&mu_);
  if (!by_age_.empty() && now - by_age_.begin()->first >= kTierSlowAfter) {
    slow_ = true;
    slow_until_ = now + kTierCalmAfter;
  } else if (slow_ && now >= slow_until_) {
    slow_ = false;
  }
  if (!absence_.empty() || (store_fault_.empty() && load_fault_.empty())) return false;
  if (now < next_probe_) return false;
  next_probe_ = now + kTierProbeInterval;
  return true;
}

bool TierHealth::may_store() const {
  MutexLock lock(&mu_);
  return absence_.empty() && store_fault_.empty() && load_fault_.empty();
}

bool TierHealth::may_load() const {
  MutexLock lock(&mu_);
  return absence_.empty() && load_fault_.empty();
}

TierState TierHealth::StateLocked() const {
  if (!absence_.empty() || !load_fault_.empty()) return TierState::kMemoryOnly;
  if (!store_fault_.empty()) return TierState::kDbReadOnly;
  return slow_ ? TierState::kDbSlow : TierState::kHealthy;
}

TierState TierHealth::state() const {
  MutexLock lock(&mu_);
  return StateLocked();
}

std::string TierHealth::reason() const {
  MutexLock lock(&mu_);
  switch (StateLocked()) {
    case TierState::kHealthy:
      return "";
    case TierState::kDbSlow:
      return fmt::format("a call took {} s or more", kTierSlowAfter.count() / 1000);
    case TierState::kDbReadOnly:
      return store_fault_;
    case TierState::kMemoryOnly:
      return absence_.empty() ? load_fault_ : absence_;
  }
  return "";
}

}  // namespace kvasir
