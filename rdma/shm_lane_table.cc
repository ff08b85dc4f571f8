#include "rdma/shm_lane_table.h"

#include <fmt/core.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace kvasir {
namespace {

bool Matches(const FenceTarget& target, const ShmLaneTable::Holder& holder) {
  return holder.lane != LaneId{} && holder.session == target.session &&
         (target.lane == LaneId{} || holder.lane == target.lane);
}

ShmLaneTable::Cut CutBy(FenceScope scope) {
  return scope == FenceScope::kAll ? ShmLaneTable::Cut::kAll : ShmLaneTable::Cut::kWrites;
}

}  // namespace

ShmConnection::ShmConnection(uint64_t connection_id, UniqueFd fd)
    : id(connection_id), socket(std::move(fd)) {}

ShmConnection::~ShmConnection() { HangUp(); }

void ShmConnection::HangUp() { shutdown(socket.get(), SHUT_RDWR); }

absl::StatusOr<ShmNonce> ShmLaneTable::Offer(const Holder& holder, Instant expiry) {
  const ShmNonce nonce = RandomShmNonce();
  absl::MutexLock lock(&mu_);
  if (offers_.size() >= kOffersMax) {
    return absl::ResourceExhaustedError(
        fmt::format("shm: {} offers wait for their clients already", offers_.size()));
  }
  offers_.emplace(nonce, PendingOffer{.holder = holder, .expiry = expiry});
  next_expiry_ = std::min(next_expiry_, expiry);
  return nonce;
}

uint64_t ShmLaneTable::NextId() {
  absl::MutexLock lock(&mu_);
  return next_id_++;
}

absl::Status ShmLaneTable::Add(std::unique_ptr<ShmConnection> connection,
                               Instant greet_by) {
  const uint64_t id = connection->id;
  absl::MutexLock lock(&mu_);
  if (strangers_ >= kStrangersMax) {
    return absl::ResourceExhaustedError(
        fmt::format("shm: {} connections have not said who they are yet", strangers_));
  }
  ++strangers_;
  next_expiry_ = std::min(next_expiry_, greet_by);
  slots_[id] =
      Slot{.connection = std::move(connection), .holder = {}, .greet_by = greet_by};
  return absl::OkStatus();
}

ShmConnection* ShmLaneTable::CheckOut(uint64_t id) {
  absl::MutexLock lock(&mu_);
  const auto found = slots_.find(id);
  if (found == slots_.end() || found->second.checked_out) return nullptr;
  found->second.checked_out = true;
  return found->second.connection.get();
}

void ShmLaneTable::CheckIn(uint64_t id, Keep keep) {
  if (keep == Keep::kYes && TryCheckIn(id)) return;
  // The connection ends. It stays out until it has hung up, so that no fence finds it
  // gone before its client can notice.
  ConnectionOf(id)->HangUp();
  std::unique_ptr<ShmConnection> ended;
  Callbacks freed;
  {
    absl::MutexLock lock(&mu_);
    const auto found = slots_.find(id);
    if (found->second.holder.lane == LaneId{}) --strangers_;
    ended = std::move(found->second.connection);
    slots_.erase(found);
    freed = FencesFreedByLocked(id);
  }
  ended.reset();
  for (absl::AnyInvocable<void() &&>& done : freed) std::move(done)();
}

bool ShmLaneTable::TryCheckIn(uint64_t id) {
  Callbacks freed;
  {
    absl::MutexLock lock(&mu_);
    Slot& slot = slots_.at(id);
    KV_CHECK(slot.checked_out);
    if (slot.cut == Cut::kAll) return false;
    slot.checked_out = false;
    freed = FencesFreedByLocked(id);
  }
  for (absl::AnyInvocable<void() &&>& done : freed) std::move(done)();
  return true;
}

ShmConnection* ShmLaneTable::ConnectionOf(uint64_t id) {
  absl::MutexLock lock(&mu_);
  const Slot& slot = slots_.at(id);
  KV_CHECK(slot.checked_out);
  return slot.connection.get();
}

ShmLaneTable::Callbacks ShmLaneTable::FencesFreedByLocked(uint64_t id) {
  Callbacks freed;
  for (WaitingFence& fence : fences_) {
    std::erase(fence.out, id);
    if (fence.out.empty()) freed.push_back(std::move(fence.done));
  }
  std::erase_if(fences_, [](const WaitingFence& fence) { return fence.out.empty(); });
  return freed;
}

absl::StatusOr<ShmLaneTable::Holder> ShmLaneTable::Redeem(uint64_t id,
                                                          const ShmNonce& nonce,
                                                          Instant now) {
  absl::MutexLock lock(&mu_);
  const auto offer = offers_.find(nonce);
  if (offer == offers_.end() || offer->second.expiry <= now) {
    return absl::UnavailableError("shm: no such offer, or no longer");
  }
  Slot& slot = slots_.at(id);
  KV_CHECK(slot.checked_out && slot.holder.lane == LaneId{});
  slot.holder = offer->second.holder;
  slot.cut = offer->second.cut;
  --strangers_;
  offers_.erase(offer);
  return slot.holder;
}

ShmLaneTable::Cut ShmLaneTable::CutOf(uint64_t id) const {
  absl::MutexLock lock(&mu_);
  return slots_.at(id).cut;
}

void ShmLaneTable::CutOffersLocked(const FenceTarget& target) {
  absl::erase_if(offers_, [&](auto& entry) {
    PendingOffer& offer = entry.second;
    if (!Matches(target, offer.holder)) return false;
    offer.cut = std::max(offer.cut, CutBy(target.scope));
    return offer.cut == Cut::kAll;
  });
}

ShmLaneTable::CutLanes ShmLaneTable::CutLanesLocked(const FenceTarget& target) {
  CutLanes lanes;
  for (auto& [id, slot] : slots_) {
    if (!Matches(target, slot.holder)) continue;
    slot.cut = std::max(slot.cut, CutBy(target.scope));
    if (!slot.checked_out && slot.cut != Cut::kAll) continue;
    lanes.out.push_back(id);
    if (slot.checked_out) continue;
    slot.checked_out = true;
    lanes.taken.push_back(id);
  }
  return lanes;
}

void ShmLaneTable::Fence(const FenceTarget& target, absl::AnyInvocable<void() &&> done) {
  CutLanes lanes;
  {
    absl::MutexLock lock(&mu_);
    CutOffersLocked(target);
    lanes = CutLanesLocked(target);
    if (!lanes.out.empty()) fences_.push_back({lanes.out, std::move(done)});
  }
  if (lanes.out.empty()) return std::move(done)();
  for (const uint64_t id : lanes.taken) CheckIn(id, Keep::kNo);
}

void ShmLaneTable::Expire(Instant now) {
  std::vector<std::unique_ptr<ShmConnection>> ended;  // Dies after the lock is let go.
  absl::MutexLock lock(&mu_);
  if (now < next_expiry_) return;
  Instant next = Instant::max();
  absl::erase_if(offers_, [now, &next](const auto& entry) {
    if (entry.second.expiry <= now) return true;
    next = std::min(next, entry.second.expiry);
    return false;
  });
  absl::erase_if(slots_, [now, &next, &ended](auto& entry) {
    Slot& slot = entry.second;
    if (slot.holder.lane != LaneId{}) return false;
    if (slot.checked_out || slot.greet_by > now) {
      next = std::min(next, slot.greet_by);
      return false;
    }
    ended.push_back(std::move(slot.connection));
    return true;
  });
  strangers_ -= ended.size();
  next_expiry_ = next;
}

size_t ShmLaneTable::lanes() const {
  absl::MutexLock lock(&mu_);
  return slots_.size() - strangers_;
}

}  // namespace kvasir
