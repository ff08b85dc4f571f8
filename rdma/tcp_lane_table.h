#ifndef KVASIR_RDMA_TCP_LANE_TABLE_H_
#define KVASIR_RDMA_TCP_LANE_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/ids.h"
#include "rdma/tcp_offer.h"
#include "rdma/transport.h"

namespace kvasir {

class TcpSendQueue;

// One connection of one tcp server, never reused.
enum class TcpConnectionId : uint64_t {};
enum class TcpFenceId : uint64_t {};

// Which loop serves a connection.
struct TcpPlace {
  size_t loop = 0;
  TcpConnectionId connection{};
};

struct TcpLaneKey {
  SessionId session;
  LaneId lane{};
};

// Which lanes a tcp server has, which connection carries each, and which fences wait for
// which of them. A lane goes from offered to attached to closing, and is then erased; a
// connection that closes keeps its lane here until its socket is gone, so that a fence
// always finds what it must wait for. Thread-safe; runs no callback.
class TcpLaneTable {
 public:
  using Done = absl::AnyInvocable<void() &&>;

  // A lane that waits for its connection. FailedPrecondition if there is such a lane;
  // ResourceExhausted beyond kMaxLanesPerSession.
  absl::Status Offer(const TcpLaneKey& key, const TcpNonce& nonce, Instant expiry)
      ABSL_LOCKS_EXCLUDED(mu_);
  struct Attached {
    TcpLaneKey key;
    bool writes_cut = false;  // a fence came before the connection did
  };
  // The connection at `place` brought `nonce`, which is void from now on.
  // PermissionDenied if no lane waits for it or its time is up.
  absl::StatusOr<Attached> Attach(const TcpNonce& nonce, const TcpPlace& place,
                                  TcpSendQueue* queue, Instant now)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Forgets lanes whose connection never came.
  void DropStaleOffers(Instant now) ABSL_LOCKS_EXCLUDED(mu_);

  // Keeps the lane's connection in being, for a thread other than its loop's, until
  // Unpin. Null if the lane is not attached.
  TcpSendQueue* Pin(const TcpLaneKey& key, TcpPlace* place) ABSL_LOCKS_EXCLUDED(mu_);
  // True if the connection is closing and waited for this: tell its loop.
  [[nodiscard]] bool Unpin(const TcpLaneKey& key) ABSL_LOCKS_EXCLUDED(mu_);

  // The lane's connection ends: nobody pins it from now on. False if somebody still
  // does: come again after Unpin.
  [[nodiscard]] bool BeginClose(const TcpLaneKey& key) ABSL_LOCKS_EXCLUDED(mu_);
  // The lane's socket is gone.
  void Erase(const TcpLaneKey& key) ABSL_LOCKS_EXCLUDED(mu_);

  struct FencePlan {
    TcpFenceId fence{};
    std::vector<TcpPlace> places;  // each is to be cut, then reported by Pass
    Done done;                     // set if there is nothing to wait for
  };
  FencePlan BeginFence(const FenceTarget& target, Done done) ABSL_LOCKS_EXCLUDED(mu_);
  // One of the fence's connections is cut. The last one returns `done`; others null.
  [[nodiscard]] Done Pass(TcpFenceId fence) ABSL_LOCKS_EXCLUDED(mu_);
  // Every fence that still waits.
  std::vector<Done> TakeFences() ABSL_LOCKS_EXCLUDED(mu_);

  uint64_t attached() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    bool attached = false;
    bool closing = false;
    bool writes_cut = false;
    TcpNonce nonce{};   // while not attached
    Instant expiry{};   // while not attached
    TcpPlace place;
    TcpSendQueue* queue = nullptr;
    size_t pins = 0;
  };
  using SessionLanes = absl::flat_hash_map<LaneId, Entry>;
  struct WaitingFence {
    size_t places = 0;
    Done done;
  };

  Entry* FindLocked(const TcpLaneKey& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EraseLocked(const TcpLaneKey& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Cuts a lane that waits for its connection; else adds its place to the plan.
  void FenceLocked(const TcpLaneKey& key, FenceScope scope, FencePlan* plan)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;
  absl::flat_hash_map<SessionId, SessionLanes> sessions_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<TcpNonce, TcpLaneKey> offers_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<TcpFenceId, WaitingFence> fences_ ABSL_GUARDED_BY(mu_);
  uint64_t next_fence_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t attached_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_TCP_LANE_TABLE_H_
