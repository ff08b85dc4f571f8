#include "rdma/tcp_lane_table.h"

#include <fmt/core.h>

#include <utility>

#include "base/check.h"
#include "base/limits.h"

namespace kvasir {
namespace {

absl::Status NotOffered() {
  return absl::PermissionDeniedError("attach connection: no lane waits for this nonce");
}

}  // namespace

absl::Status TcpLaneTable::Offer(const TcpLaneKey& key, const TcpNonce& nonce,
                                 Instant expiry) {
  absl::MutexLock lock(&mu_);
  SessionLanes& lanes = sessions_[key.session];
  if (lanes.contains(key.lane)) {
    return absl::FailedPreconditionError(
        fmt::format("offer lane: {} is there already", static_cast<uint64_t>(key.lane)));
  }
  if (lanes.size() >= kMaxLanesPerSession) {
    return absl::ResourceExhaustedError(
        fmt::format("offer lane: session has {} lanes", lanes.size()));
  }
  lanes[key.lane] = {.nonce = nonce, .expiry = expiry};
  offers_[nonce] = key;
  return absl::OkStatus();
}

absl::StatusOr<TcpLaneTable::Attached> TcpLaneTable::Attach(const TcpNonce& nonce,
                                                            const TcpPlace& place,
                                                            TcpSendQueue* queue,
                                                            Instant now) {
  absl::MutexLock lock(&mu_);
  const auto offer = offers_.find(nonce);
  if (offer == offers_.end()) return NotOffered();
  const TcpLaneKey key = offer->second;
  offers_.erase(offer);
  Entry* const entry = FindLocked(key);
  KV_CHECK(entry != nullptr && !entry->attached);
  if (entry->expiry <= now) {
    EraseLocked(key);
    return NotOffered();
  }
  entry->attached = true;
  entry->place = place;
  entry->queue = queue;
  ++attached_;
  return Attached{.key = key, .writes_cut = entry->writes_cut};
}

void TcpLaneTable::DropStaleOffers(Instant now) {
  absl::MutexLock lock(&mu_);
  std::vector<TcpLaneKey> stale;
  for (const auto& [nonce, key] : offers_) {
    if (FindLocked(key)->expiry <= now) stale.push_back(key);
  }
  for (const TcpLaneKey& key : stale) {
    offers_.erase(FindLocked(key)->nonce);
    EraseLocked(key);
  }
}

TcpSendQueue* TcpLaneTable::Pin(const TcpLaneKey& key, TcpPlace* place) {
  absl::MutexLock lock(&mu_);
  Entry* const entry = FindLocked(key);
  if (entry == nullptr || !entry->attached || entry->closing) return nullptr;
  ++entry->pins;
  *place = entry->place;
  return entry->queue;
}

bool TcpLaneTable::Unpin(const TcpLaneKey& key) {
  absl::MutexLock lock(&mu_);
  Entry* const entry = FindLocked(key);
  KV_CHECK(entry != nullptr && entry->pins > 0);
  --entry->pins;
  return entry->pins == 0 && entry->closing;
}

bool TcpLaneTable::BeginClose(const TcpLaneKey& key) {
  absl::MutexLock lock(&mu_);
  Entry* const entry = FindLocked(key);
  KV_CHECK(entry != nullptr && entry->attached);
  entry->closing = true;
  return entry->pins == 0;
}

void TcpLaneTable::Erase(const TcpLaneKey& key) {
  absl::MutexLock lock(&mu_);
  const Entry* const entry = FindLocked(key);
  KV_CHECK(entry != nullptr && entry->closing && entry->pins == 0);
  --attached_;
  EraseLocked(key);
}

TcpLaneTable::FencePlan TcpLaneTable::BeginFence(const FenceTarget& target, Done done) {
  absl::MutexLock lock(&mu_);
  FencePlan plan{.fence = TcpFenceId{next_fence_++}};
  std::vector<LaneId> lanes;
  if (target.lane != LaneId{}) {
    lanes.push_back(target.lane);
  } else if (const auto it = sessions_.find(target.session); it != sessions_.end()) {
    for (const auto& [lane, entry] : it->second) lanes.push_back(lane);
  }
  for (const LaneId lane : lanes) {
    FenceLocked({.session = target.session, .lane = lane}, target.scope, &plan);
  }
  if (plan.places.empty()) {
    plan.done = std::move(done);
  } else {
    fences_[plan.fence] = {.places = plan.places.size(), .done = std::move(done)};
  }
  return plan;
}

TcpLaneTable::Done TcpLaneTable::Pass(TcpFenceId fence) {
  absl::MutexLock lock(&mu_);
  const auto it = fences_.find(fence);
  if (it == fences_.end() || --it->second.places > 0) return nullptr;
  Done done = std::move(it->second.done);
  fences_.erase(it);
  return done;
}

std::vector<TcpLaneTable::Done> TcpLaneTable::TakeFences() {
  absl::MutexLock lock(&mu_);
  std::vector<Done> all;
  for (auto& [id, fence] : fences_) all.push_back(std::move(fence.done));
  fences_.clear();
  return all;
}

uint64_t TcpLaneTable::attached() const {
  absl::MutexLock lock(&mu_);
  return attached_;
}

TcpLaneTable::Entry* TcpLaneTable::FindLocked(const TcpLaneKey& key) {
  const auto session = sessions_.find(key.session);
  if (session == sessions_.end()) return nullptr;
  const auto lane = session->second.find(key.lane);
  return lane == session->second.end() ? nullptr : &lane->second;
}

void TcpLaneTable::EraseLocked(const TcpLaneKey& key) {
  const auto session = sessions_.find(key.session);
  session->second.erase(key.lane);
  if (session->second.empty()) sessions_.erase(session);
}

void TcpLaneTable::FenceLocked(const TcpLaneKey& key, FenceScope scope, FencePlan* plan) {
  Entry* const entry = FindLocked(key);
  if (entry == nullptr) return;
  if (scope == FenceScope::kWrites) entry->writes_cut = true;
  if (entry->attached) {
    plan->places.push_back(entry->place);
  } else if (scope == FenceScope::kAll) {
    offers_.erase(entry->nonce);
    EraseLocked(key);
  }
}

}  // namespace kvasir
