#ifndef KVASIR_SERVICE_REAPER_H_
#define KVASIR_SERVICE_REAPER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/ids.h"
#include "rdma/transport.h"
#include "service/lease_table.h"
#include "service/session_table.h"
#include "storage/block.h"

namespace kvasir {

// The only place where memory that somebody may still touch becomes free: expiry, then
// fence, then free. What a grant, lane or session that ended still holds waits in a
// ward, in quarantine, until every fence that covers it is done; a fence that never
// returns keeps its ward for good, and shows in oldest_fence.
//
// Threads: every method from any; a fence may return inside Fence or later on a thread
// of its transport, and no lock is held while one is asked for.
class Reaper {
 public:
  // None owned; all must outlive the reaper, but the transports, which may end first once
  // nobody calls the reaper any more: no fence may return after its end.
  Reaper(const Clock* clock, LeaseTable* leases, SessionTable* sessions,
         std::vector<ServerTransport*> transports);
  ~Reaper();

  struct Expired {
    size_t reads = 0, writes = 0, pins = 0;
  };
  // Drops the reads and pins whose time is up, and quarantines the writes.
  Expired Expire() ABSL_LOCKS_EXCLUDED(mu_);
  // Makes the keys of `writes` available at once, cuts the write half of each one's lane
  // and keeps their memory until that is done.
  void Quarantine(std::vector<LeaseTable::Write> writes) ABSL_LOCKS_EXCLUDED(mu_);
  // Drops the pins of a session that ended, cuts it or its lane off, and keeps what it
  // held until that is done.
  void Retire(const SessionTable::Ended& ended) ABSL_LOCKS_EXCLUDED(mu_);

  struct Stats {
    uint64_t blocks = 0, bytes = 0;  // in quarantine
    uint64_t wards = 0;              // fences waited for
    uint64_t fences = 0;             // asked for since the start
    std::chrono::milliseconds oldest_fence{};
  };
  Stats stats() const ABSL_LOCKS_EXCLUDED(mu_);
  // Nothing waits for a fence, and Expire is not under way: what it has taken out of the
  // lease table may not be in a ward yet.
  bool idle() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Memory {
    std::vector<BlockRef> reads;
    std::vector<Reservation> writes;
  };
  // Memory behind a fence that was asked for.
  struct Ward {
    SessionId session;
    LaneId lane{};  // 0: all of the session's
    Instant since;
    size_t fences_left = 0;
    Memory memory;
  };
  using Wards = std::map<uint64_t, Ward>;

  void Fence(const FenceTarget& target, const std::vector<ServerTransport*>& transports,
             Memory memory) ABSL_LOCKS_EXCLUDED(mu_);
  void FenceDone(uint64_t ward) ABSL_LOCKS_EXCLUDED(mu_);
  bool CoveredLocked(Wards::const_iterator ward) const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  const Clock* const clock_;
  LeaseTable* const leases_;
  SessionTable* const sessions_;
  const std::vector<ServerTransport*> transports_;
  mutable absl::Mutex mu_;
  Wards wards_ ABSL_GUARDED_BY(mu_);  // In the order in which fences were asked for.
  uint64_t last_ward_ ABSL_GUARDED_BY(mu_) = 0;
  int expiring_ ABSL_GUARDED_BY(mu_) = 0;  // Expire calls under way
  uint64_t fences_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_REAPER_H_
