#ifndef KVASIR_TESTS_SUPPORT_FAKE_TRANSPORT_H_
#define KVASIR_TESTS_SUPPORT_FAKE_TRANSPORT_H_

#include <cstddef>
#include <deque>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "rdma/transport.h"

namespace kvasir {

// The server half of a transport that moves no bytes: it keeps its lanes, and its fences
// return at once, or when the test says so, or never. Thread-safe.
class FakeTransport final : public ServerTransport {
 public:
  struct Pushed {
    SessionId session;
    LaneId lane{};
    std::vector<PushItem> items;
  };

  explicit FakeTransport(TransportKind kind) : kind_(kind) {}

  // From now on fences wait for ReturnFence. One of a target without a lane returns at
  // once all the same.
  void HoldFences() ABSL_LOCKS_EXCLUDED(mu_);
  void PassFences() ABSL_LOCKS_EXCLUDED(mu_);
  // Lets the fence that was held as number `n` (0: the oldest that still is) return.
  void ReturnFence(size_t n) ABSL_LOCKS_EXCLUDED(mu_);
  void ReturnAllFences() ABSL_LOCKS_EXCLUDED(mu_);
  size_t held_fences() const ABSL_LOCKS_EXCLUDED(mu_);
  // Every target that Fence was called with.
  std::vector<FenceTarget> fences() const ABSL_LOCKS_EXCLUDED(mu_);

  // Accept answers this from now on.
  void RefuseLanes(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);
  // Runs inside Accept, before the lane exists.
  void OnAccept(absl::AnyInvocable<void()> hook) ABSL_LOCKS_EXCLUDED(mu_);
  size_t lanes() const ABSL_LOCKS_EXCLUDED(mu_);

  void AllowPush() ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<Pushed> pushed() const ABSL_LOCKS_EXCLUDED(mu_);

  TransportKind kind() const override { return kind_; }
  absl::Status Export(const Region&) override { return absl::OkStatus(); }
  absl::StatusOr<std::string> Accept(SessionId session, LaneId lane,
                                     std::string_view hello) override
      ABSL_LOCKS_EXCLUDED(mu_);
  void Fence(const FenceTarget& target, absl::AnyInvocable<void() &&> done) override
      ABSL_LOCKS_EXCLUDED(mu_);
  bool Push(SessionId session, LaneId lane, std::span<PushItem> items) override
      ABSL_LOCKS_EXCLUDED(mu_);
  bool can_push() const override ABSL_LOCKS_EXCLUDED(mu_);
  void OnGranted(Access access, uint64_t size_bytes) override ABSL_LOCKS_EXCLUDED(mu_);
  // Its bytes and operations are those that were granted.
  TransportStats stats() const override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Held {
    FenceTarget target;
    absl::AnyInvocable<void() &&> done;
  };
  bool CoversLaneLocked(const FenceTarget& target) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void CutLocked(const FenceTarget& target) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const TransportKind kind_;
  mutable absl::Mutex mu_;
  bool holding_ ABSL_GUARDED_BY(mu_) = false;
  bool can_push_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status refusal_ ABSL_GUARDED_BY(mu_);
  TransportStats granted_ ABSL_GUARDED_BY(mu_);
  absl::AnyInvocable<void()> on_accept_ ABSL_GUARDED_BY(mu_);
  std::map<LaneId, SessionId> lanes_ ABSL_GUARDED_BY(mu_);
  std::deque<Held> held_ ABSL_GUARDED_BY(mu_);
  std::vector<FenceTarget> fences_ ABSL_GUARDED_BY(mu_);
  std::vector<Pushed> pushed_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_SUPPORT_FAKE_TRANSPORT_H_
