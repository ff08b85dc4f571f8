#ifndef KVASIR_CLIENT_LANE_POOL_H_
#define KVASIR_CLIENT_LANE_POOL_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "client/lane_client.h"

namespace kvasir {

// The lanes of one node's session, at most `lanes_max`, opened when first needed. A call
// holds one for its batch; the others wait, as long as their deadline allows. A lane that
// comes back unusable, or from a session that has ended, is destroyed and its place is
// free for a new one. Thread-safe.
class LanePool {
 public:
  // What lanes are opened with. The transport must outlive its lanes.
  struct Session {
    SessionId id;
    ClientTransport* transport = nullptr;
    uint64_t term = 0;  // the pool's own count of sessions, set by Start
  };
  // Opens a lane. Called from any thread, without the pool's lock.
  using OpenLane = absl::AnyInvocable<absl::StatusOr<std::unique_ptr<LaneClient>>(
      const Session& session, Instant deadline) const>;

  // A lane in a call's hands. Move-only; gives it back when it dies. Must not outlive the
  // pool.
  class Held {
   public:
    Held(Held&& other) noexcept
        : pool_(other.pool_), lane_(std::move(other.lane_)), term_(other.term_) {}
    Held& operator=(Held&&) = delete;
    ~Held();
    LaneClient* operator->() const { return lane_.get(); }
    LaneClient& operator*() const { return *lane_; }
    // Which session the lane is of, as the pool counts them.
    uint64_t term() const { return term_; }

   private:
    friend class LanePool;
    Held(LanePool* pool, std::unique_ptr<LaneClient> lane, uint64_t term)
        : pool_(pool), lane_(std::move(lane)), term_(term) {}
    LanePool* pool_;
    std::unique_ptr<LaneClient> lane_;
    uint64_t term_;
  };

  // `clock` must outlive the pool.
  LanePool(size_t lanes_max, OpenLane open, const Clock* clock);
  ~LanePool();

  // Begins to serve lanes of a new session, with `first` as one of them. Lanes of the
  // session before go. Returns the term: the number of the session.
  uint64_t Start(const Session& session, std::unique_ptr<LaneClient> first)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Ends the session: idle lanes go now, those in use when they come back, and calls
  // that wait get Unavailable, as do later ones until Start.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);
  // The same, unless the session of `term` has ended before. Whether it did end it.
  bool StopTerm(uint64_t term) ABSL_LOCKS_EXCLUDED(mu_);

  // The warmest idle lane, else a new one, else a wait for one. Unavailable if there is no
  // session; DeadlineExceeded; else as OpenLane.
  absl::StatusOr<Held> Acquire(Instant deadline) ABSL_LOCKS_EXCLUDED(mu_);

  // Sends the releases of lanes that have been idle for `idle` and have some.
  void FlushIdle(std::chrono::milliseconds idle, Instant deadline) ABSL_LOCKS_EXCLUDED(mu_);

  // Whether there is a session.
  bool serving() const ABSL_LOCKS_EXCLUDED(mu_);
  size_t open_lanes() const ABSL_LOCKS_EXCLUDED(mu_);
  // How many lanes nobody holds, those that are not open yet among them.
  size_t free_lanes() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Idle {
    std::unique_ptr<LaneClient> lane;
    Instant since;
  };
  // Where an idle lane goes: the warm end is the one that Acquire takes from.
  enum class End : uint8_t { kCold, kWarm };
  void GiveBack(std::unique_ptr<LaneClient> lane, uint64_t term, End end)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<Held> Open(const Session& session, Instant deadline)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Nothing to wait for any more: a lane, room for one, or no session.
  bool ReadyLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const size_t lanes_max_;
  const OpenLane open_;
  const Clock* const clock_;
  mutable absl::Mutex mu_;
  bool serving_ ABSL_GUARDED_BY(mu_) = false;
  Session session_ ABSL_GUARDED_BY(mu_);
  std::vector<Idle> idle_ ABSL_GUARDED_BY(mu_);  // coldest first
  // Of the current term: idle, in use, or being opened.
  size_t lanes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_LANE_POOL_H_
