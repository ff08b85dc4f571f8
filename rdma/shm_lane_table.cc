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

ShmConnection::~ShmConnection() { shutdown(socket.get(), SHUT_RDWR); }

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
  if (found == slots_.end()) return nullptr;
  KV_CHECK(!found->second.checked_out);
  found->second.checked_out = true;
  return found->second.connection.get();
}

void ShmLaneTable::CheckIn(uint64_t id, Keep keep) {
  std::unique_ptr<ShmConnection> ended;
  std::vector<absl::AnyInvocable<void() &&>> freed;
  {
    absl::MutexLock lock(&mu_);
    const auto found = slots_.find(id);
    KV_CHECK(found != slots_.end() && found->second.checked_out);
    Slot& slot = found->second;
    slot.checked_out = false;
    if (keep == Keep::kNo || slot.cut == Cut::kAll) {
      if (slot.holder.lane == LaneId{}) --strangers_;
      ended = std::move(slot.connection);
      slots_.erase(found);
    }
    freed = FencesFreedByLocked(id);
  }
  ended.reset();  // The client can notice before the fence lets its leases go.
  for (absl::AnyInvocable<void() &&>& done : freed) std::move(done)();
}

std::vector<absl::AnyInvocable<void() &&>> ShmLaneTable::FencesFreedByLocked(
    uint64_t id) {
  std::vector<absl::AnyInvocable<void() &&>> freed;
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

std::vector<uint64_t> ShmLaneTable::CutLanesLocked(const FenceTarget& target,
                                                   Ended* ended) {
  std::vector<uint64_t> out;
  absl::erase_if(slots_, [&](auto& entry) {
    Slot& slot = entry.second;
    if (!Matches(target, slot.holder)) return false;
    slot.cut = std::max(slot.cut, CutBy(target.scope));
    if (slot.checked_out) {
      out.push_back(entry.first);
      return false;
    }
    if (slot.cut != Cut::kAll) return false;
    ended->push_back(std::move(slot.connection));
    return true;
  });
  return out;
}

void ShmLaneTable::Fence(const FenceTarget& target, absl::AnyInvocable<void() &&> done) {
  Ended ended;
  {
    absl::MutexLock lock(&mu_);
    CutOffersLocked(target);
    std::vector<uint64_t> out = CutLanesLocked(target, &ended);
    if (!out.empty()) {
      fences_.push_back({.out = std::move(out), .done = std::move(done)});
      return;  // `ended` dies after the lock is let go.
    }
  }
  ended.clear();  // The client can notice before the fence lets its leases go.
  std::move(done)();
}

void ShmLaneTable::Expire(Instant now) {
  Ended ended;
  absl::MutexLock lock(&mu_);
  if (now < next_expiry_) return;
  next_expiry_ = Instant::max();
  absl::erase_if(offers_, [&](const auto& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (entry.second.expiry <= now) return true;
    next_expiry_ = std::min(next_expiry_, entry.second.expiry);
    return false;
  });
  absl::erase_if(slots_, [&](auto& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Slot& slot = entry.second;
    if (slot.holder.lane != LaneId{}) return false;
    if (slot.checked_out || slot.greet_by > now) {
      next_expiry_ = std::min(next_expiry_, slot.greet_by);
      return false;
    }
    --strangers_;
    ended.push_back(std::move(slot.connection));
    return true;
  });
}

size_t ShmLaneTable::lanes() const {
  absl::MutexLock lock(&mu_);
  return slots_.size() - strangers_;
}

}  // namespace kvasir
