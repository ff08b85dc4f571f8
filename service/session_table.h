#ifndef KVASIR_SERVICE_SESSION_TABLE_H_
#define KVASIR_SERVICE_SESSION_TABLE_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/limits.h"
#include "rdma/transport.h"
#include "service/put_ops.h"

namespace kvasir {

// Who is connected: sessions and their lanes. Holds the rule S1: every call enters
// through Enter, which refuses a session that is not live. What ends is refused from
// that instant, but reported as ended, to be fenced, only once the last call inside has
// left: so nothing can be granted to it after its fence began. Thread-safe; holds no
// clock: time is an argument.
//
// Bounds: Options::sessions_max sessions, kMaxLanesPerSession lanes each.
class SessionTable {
 public:
  // A lane, or with lane none a whole session, that ended and that no call is in.
  struct Ended {
    SessionId session;
    LaneId lane{};
    std::vector<ServerTransport*> transports;  // those that it had lanes on
  };
  struct Options {
    size_t sessions_max = kMaxSessions;
    std::chrono::milliseconds silence = kSessionSilence;
    // Runs once for each end, without a lock, on the thread that left last.
    absl::AnyInvocable<void(const Ended&)> on_ended;
  };
  struct View {
    SessionId session;
    std::string client_name;
    uint32_t pid = 0;
    size_t lanes = 0;
    Instant opened;
    Instant last_sign;
  };

 private:
  struct Lane;
  struct Session;

 public:
  // One call inside a session, and perhaps a lane, which do not end before it is over.
  // Move-only; must not outlive the table.
  class Call {
   public:
    Call(Call&& other) noexcept;
    Call& operator=(Call&&) = delete;
    ~Call();

    SessionId session() const;
    LaneId lane() const { return lane_; }
    // Of the lane. REQUIRES: entered with a lane.
    ServerTransport* transport() const { return transport_; }
    // The writes of the lane have been fenced: it takes no more.
    bool writes_cut() const { return writes_cut_; }
    PutOps* ops() const;

   private:
    friend class SessionTable;
    Call(SessionTable* table, Session* session) : table_(table), session_(session) {}
    SessionTable* table_;
    Session* session_;
    LaneId lane_{};
    ServerTransport* transport_ = nullptr;
    bool writes_cut_ = false;
  };

  explicit SessionTable(Options options);
  ~SessionTable();

  // ResourceExhausted (LIMIT_EXCEEDED) beyond sessions_max.
  absl::StatusOr<SessionId> Open(std::string client_name, uint32_t pid, Instant now)
      ABSL_LOCKS_EXCLUDED(mu_);
  // A sign of life, and a way in. Unauthenticated (SESSION_UNKNOWN) if the session is
  // not live; NotFound (LANE_UNKNOWN) if it has no such lane.
  absl::StatusOr<Call> Enter(SessionId session, Instant now) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<Call> Enter(SessionId session, LaneId lane, Instant now)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Registers a lane of the call's session. ResourceExhausted (LIMIT_EXCEEDED) beyond
  // kMaxLanesPerSession.
  absl::StatusOr<LaneId> AddLane(const Call& call, ServerTransport* transport)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Takes back a lane that the transport refused, which nobody else knows of.
  void ForgetLane(const Call& call, LaneId lane) ABSL_LOCKS_EXCLUDED(mu_);
  // No more writes are granted on the lane. Returns its transport; null if it is gone.
  ServerTransport* CutWrites(SessionId session, LaneId lane) ABSL_LOCKS_EXCLUDED(mu_);

  // Idempotent.
  void EndLane(SessionId session, LaneId lane) ABSL_LOCKS_EXCLUDED(mu_);
  void EndSession(SessionId session) ABSL_LOCKS_EXCLUDED(mu_);
  // Ends every session that has been silent for longer than Options::silence. Returns
  // how many.
  size_t EndSilent(Instant now) ABSL_LOCKS_EXCLUDED(mu_);

  // Live ones, in the order of opening.
  std::vector<View> sessions() const ABSL_LOCKS_EXCLUDED(mu_);
  struct Counts {
    uint64_t sessions = 0, lanes = 0;
  };
  Counts counts() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  Session* FindLiveLocked(SessionId session) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Call> EnterLocked(SessionId session, Instant now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Leave(Session* session, LaneId lane) ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<Ended> RetireLaneLocked(Session* session, LaneId lane)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<Ended> RetireLocked(Session* session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Report(const std::optional<Ended>& ended);

  Options options_;
  mutable absl::Mutex mu_;
  absl::flat_hash_map<SessionId, std::unique_ptr<Session>> sessions_ ABSL_GUARDED_BY(mu_);
  uint64_t last_lane_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t last_session_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_SESSION_TABLE_H_
