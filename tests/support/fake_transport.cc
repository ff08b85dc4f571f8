#include "tests/support/fake_transport.h"

#include "base/check.h"

namespace kvasir {

using absl::MutexLock;

void FakeTransport::HoldFences() {
  MutexLock lock(&mu_);
  holding_ = true;
}

void FakeTransport::PassFences() {
  MutexLock lock(&mu_);
  holding_ = false;
}

void FakeTransport::ReturnFence(size_t n) {
  Held held;
  {
    MutexLock lock(&mu_);
    KV_CHECK(n < held_.size());
    held = std::move(held_[n]);
    held_.erase(held_.begin() + n);
    CutLocked(held.target);
  }
  std::move(held.done)();
}

void FakeTransport::ReturnAllFences() {
  while (held_fences() > 0) ReturnFence(0);
}

size_t FakeTransport::held_fences() const {
  MutexLock lock(&mu_);
  return held_.size();
}

std::vector<FenceTarget> FakeTransport::fences() const {
  MutexLock lock(&mu_);
  return fences_;
}

void FakeTransport::RefuseLanes(absl::Status status) {
  MutexLock lock(&mu_);
  refusal_ = std::move(status);
}

void FakeTransport::OnAccept(absl::AnyInvocable<void()> hook) {
  MutexLock lock(&mu_);
  on_accept_ = std::move(hook);
}

size_t FakeTransport::lanes() const {
  MutexLock lock(&mu_);
  return lanes_.size();
}

void FakeTransport::AllowPush() {
  MutexLock lock(&mu_);
  can_push_ = true;
}

std::vector<FakeTransport::Pushed> FakeTransport::pushed() const {
  MutexLock lock(&mu_);
  return pushed_;
}

absl::StatusOr<std::string> FakeTransport::Accept(SessionId session, LaneId lane,
                                                  std::string_view hello) {
  absl::AnyInvocable<void()> hook;
  {
    MutexLock lock(&mu_);
    hook = std::exchange(on_accept_, nullptr);
  }
  if (hook) hook();
  MutexLock lock(&mu_);
  if (!refusal_.ok()) return refusal_;
  lanes_[lane] = session;
  return "offer for " + std::string(hello);
}

bool FakeTransport::CoversLaneLocked(const FenceTarget& target) const {
  for (const auto& [lane, session] : lanes_) {
    if (session == target.session && (target.lane == LaneId{} || target.lane == lane)) {
      return true;
    }
  }
  return false;
}

void FakeTransport::CutLocked(const FenceTarget& target) {
  if (target.scope == FenceScope::kWrites) return;
  std::erase_if(lanes_, [&target](const auto& entry) {
    return entry.second == target.session &&
           (target.lane == LaneId{} || target.lane == entry.first);
  });
}

void FakeTransport::Fence(const FenceTarget& target, absl::AnyInvocable<void() &&> done) {
  {
    MutexLock lock(&mu_);
    fences_.push_back(target);
    if (holding_ && CoversLaneLocked(target)) {
      held_.push_back({target, std::move(done)});
      return;
    }
    CutLocked(target);
  }
  std::move(done)();
}

bool FakeTransport::Push(SessionId session, LaneId lane, std::span<PushItem> items) {
  MutexLock lock(&mu_);
  if (!can_push_ || !lanes_.contains(lane)) return false;
  pushed_.push_back({session, lane, {items.begin(), items.end()}});
  return true;
}

bool FakeTransport::can_push() const {
  MutexLock lock(&mu_);
  return can_push_;
}

void FakeTransport::OnGranted(Access access, uint64_t size_bytes) {
  MutexLock lock(&mu_);
  const bool read = access == Access::kRead;
  ++(read ? granted_.read_ops_total : granted_.written_ops_total);
  (read ? granted_.read_bytes_total : granted_.written_bytes_total) += size_bytes;
}

TransportStats FakeTransport::stats() const {
  MutexLock lock(&mu_);
  TransportStats stats = granted_;
  stats.lanes = lanes_.size();
  return stats;
}

}  // namespace kvasir
