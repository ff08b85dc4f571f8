#ifndef KVASIR_RDMA_SHM_LANE_TABLE_H_
#define KVASIR_RDMA_SHM_LANE_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/ids.h"
#include "rdma/shm_put_receiver.h"
#include "rdma/shm_wire.h"
#include "rdma/transport.h"

namespace kvasir {

// One accepted socket: a lane once its client has presented an offer's nonce. Hangs up
// on death, also where a forked child still holds the descriptor.
struct ShmConnection {
  uint64_t id = 0;
  UniqueFd socket;
  std::unique_ptr<ShmPutReceiver> puts;  // null before the welcome

  ShmConnection(uint64_t connection_id, UniqueFd fd);
  ~ShmConnection();
};

// The server's lanes, the offers that may become lanes, and the fences that wait for a
// loop. A loop checks a connection out to work on it and back in afterwards; a fence
// takes what is not out at once, and waits for the rest to come in. So "checked in"
// means: no copy is under way, and none starts without asking CutOf first.
//
// Threads: every method from any thread; a checked-out connection belongs to who has it.
class ShmLaneTable {
 public:
  static constexpr size_t kOffersMax = 4096;
  static constexpr size_t kStrangersMax = 64;  // accepted, but no nonce presented yet

  struct Holder {
    SessionId session;
    LaneId lane{};
  };
  enum class Cut : uint8_t { kNone, kWrites, kAll };

  // A nonce, good once until `expiry`. ResourceExhausted beyond kOffersMax.
  absl::StatusOr<ShmNonce> Offer(const Holder& holder, Instant expiry)
      ABSL_LOCKS_EXCLUDED(mu_);

  // For a connection to be; never given twice.
  uint64_t NextId() ABSL_LOCKS_EXCLUDED(mu_);
  // Keeps a connection that has until `greet_by` to present a nonce. ResourceExhausted
  // beyond kStrangersMax.
  absl::Status Add(std::unique_ptr<ShmConnection> connection, Instant greet_by)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The connection, for this caller alone until CheckIn; null if it is gone.
  ShmConnection* CheckOut(uint64_t id) ABSL_LOCKS_EXCLUDED(mu_);
  enum class Keep : uint8_t { kYes, kNo };
  // Gives the connection back, or ends it if kNo or if a fence has cut it off, and runs
  // the fences that waited for it.
  void CheckIn(uint64_t id, Keep keep) ABSL_LOCKS_EXCLUDED(mu_);

  // For a connection that the caller has checked out:
  // Uses up the offer of `nonce`; from here on the connection is the holder's lane, and
  // fences find it. Unavailable if there is no such offer, or no longer.
  absl::StatusOr<Holder> Redeem(uint64_t id, const ShmNonce& nonce, Instant now)
      ABSL_LOCKS_EXCLUDED(mu_);
  // What fences have cut so far.
  Cut CutOf(uint64_t id) const ABSL_LOCKS_EXCLUDED(mu_);

  // As ServerTransport::Fence.
  void Fence(const FenceTarget& target, absl::AnyInvocable<void() &&> done)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Drops offers and strangers whose time is up.
  void Expire(Instant now) ABSL_LOCKS_EXCLUDED(mu_);
  size_t lanes() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct PendingOffer {
    Holder holder;
    Instant expiry;
    Cut cut = Cut::kNone;
  };
  struct Slot {
    std::unique_ptr<ShmConnection> connection;
    Holder holder;     // lane 0: a stranger
    Instant greet_by;  // strangers only
    Cut cut = Cut::kNone;
    bool checked_out = false;
  };
  struct WaitingFence {
    std::vector<uint64_t> out;  // connections that have to come in first
    absl::AnyInvocable<void() &&> done;
  };
  using Ended = std::vector<std::unique_ptr<ShmConnection>>;

  void CutOffersLocked(const FenceTarget& target) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Cuts the lanes of the target; moves those that end now to `ended` and returns the
  // ids of those that are checked out.
  std::vector<uint64_t> CutLanesLocked(const FenceTarget& target, Ended* ended)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<absl::AnyInvocable<void() &&>> FencesFreedByLocked(uint64_t id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;
  uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  size_t strangers_ ABSL_GUARDED_BY(mu_) = 0;
  Instant next_expiry_ ABSL_GUARDED_BY(mu_) = Instant::max();
  absl::flat_hash_map<ShmNonce, PendingOffer> offers_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<uint64_t, Slot> slots_ ABSL_GUARDED_BY(mu_);
  std::vector<WaitingFence> fences_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_SHM_LANE_TABLE_H_
