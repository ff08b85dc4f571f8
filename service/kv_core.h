#ifndef KVASIR_SERVICE_KV_CORE_H_
#define KVASIR_SERVICE_KV_CORE_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/limits.h"
#include "kvasir/v1/kv.pb.h"
#include "rdma/transport.h"
#include "service/lease_table.h"
#include "storage/tiered_store.h"

// The heart of a node, without gRPC, threads or a clock of its own: sessions, lanes,
// leases, and the hot calls. KvService feeds it from gRPC and
// LaneMessages from lanes that carry messages; the simulation feeds it from
// a manual clock and an in-memory network.
//
// The rules of docs/leases.md hold here: S1 every call names a session that is live now;
// S2 a token is used only on the lane it was granted on; S3 an epoch change voids all.
//
// Threads: every method from any thread, but Step from one at a time.
namespace kvasir {

inline constexpr std::string_view kReasonRecovering = "RECOVERING";

class KvCore {
 public:
  struct Options {
    std::string node_name;
    Epoch epoch{};
    // This machine's /proc/sys/kernel/random/boot_id. Clients that name another one are
    // not offered shm. Empty: everybody is.
    std::string host_id;
    std::chrono::milliseconds lease_ttl = kDefaultLeaseTtl;
    std::chrono::milliseconds heartbeat_interval = kHeartbeatInterval;
    std::chrono::milliseconds session_silence = kSessionSilence;
    size_t sessions_max = kMaxSessions;
  };

  // None owned; all must outlive the core, but `transports`, which may end first once
  // nobody calls the core any more: no fence may return after the core's end. `leases`
  // is also their Gate. They are in the order in which clients should prefer them.
  KvCore(const Options& options, const Clock* clock, TieredStore* store, LeaseTable* leases,
         std::vector<ServerTransport*> transports);
  ~KvCore();

  // Sessions. ResourceExhausted beyond sessions_max; Unavailable (DRAINING) in a drain;
  // InvalidArgument for a field over its limit.
  absl::Status OpenSession(const v1::OpenSessionRequest& request,
                           v1::OpenSessionResponse* response);
  // Fences every lane of the session, then drops its leases and pins. Idempotent.
  void CloseSession(SessionId session);
  // A sign of life. Unauthenticated (SESSION_UNKNOWN) if the session is not live.
  absl::Status Heartbeat(SessionId session);

  // Lanes. The caller keeps the returned id and names it in Handle.
  absl::StatusOr<LaneId> OpenLane(SessionId session, const v1::OpenLaneRequest& request,
                                  v1::OpenLaneResponse* response);
  // Fences the lane, then drops what was granted on it. Idempotent.
  void CloseLane(SessionId session, LaneId lane);

  // One request of a lane (all but `open`), from its control stream or a message. Errors go into
  // response->error(). `response` may be the one of the exchange before, whose memory is
  // used again. `after_reply`, if set on return, is to be run once the response has been
  // handed on; null: nothing is pushed.
  void Handle(SessionId session, LaneId lane, const v1::LaneRequest& request,
              v1::LaneResponse* response, absl::AnyInvocable<void() &&>* after_reply);

  // For a request with wait_ms: puts its answer off until something that it asks for has
  // settled, or the wait has run out. True: `answer` runs once then, on another thread
  // perhaps before this returns, and is to call Handle. False: there is nothing to wait
  // for, and it never runs.
  bool WhenSettled(SessionId session, const v1::LaneRequest& request,
                   absl::AnyInvocable<void() &&> answer);

  // The same calls one by one. The session and the lane are those of the arguments, not
  // those inside the request. Errors of the request as a whole: Unauthenticated
  // (SESSION_UNKNOWN), NotFound (LANE_UNKNOWN; also for a grant to write on a lane whose
  // writes were fenced), InvalidArgument (LIMIT_EXCEEDED, BAD_REQUEST), Unavailable
  // (DRAINING; grants to write and pins only), and InvalidArgument (BAD_REQUEST) for a
  // wait_ms, which only Handle's caller can honour. Everything about one key is in the
  // response. A TTL of 0 is the default, one out of bounds is cut to them.
  absl::Status Lookup(SessionId session, const v1::LookupRequest& request,
                      v1::LookupResponse* response);
  absl::Status GrantReads(SessionId session, LaneId lane, const v1::GrantReadsRequest& request,
                          v1::GrantReadsResponse* response,
                          absl::AnyInvocable<void() &&>* after_reply);
  absl::Status GrantWrites(SessionId session, LaneId lane,
                           const v1::GrantWritesRequest& request,
                           v1::GrantWritesResponse* response);
  absl::Status Commit(SessionId session, LaneId lane, const v1::CommitRequest& request,
                      v1::CommitResponse* response);
  absl::Status Abort(SessionId session, LaneId lane, const v1::AbortRequest& request,
                     v1::AbortResponse* response);
  absl::Status Release(SessionId session, const v1::ReleaseRequest& request,
                       v1::ReleaseResponse* response);
  absl::Status Remove(SessionId session, const v1::RemoveRequest& request,
                      v1::RemoveResponse* response);
  absl::Status UnpinOwner(SessionId session, const v1::UnpinOwnerRequest& request,
                          v1::UnpinOwnerResponse* response);

  // Expires leases, silent sessions and waits as of now and moves quarantined memory on
  // once its fence has returned.
  void Step();

  // Between the two no session can be opened: Unavailable (RECOVERING), to be tried
  // again soon. For a node whose disk tier is not there yet.
  void BeginRecovery();
  void EndRecovery();

  // Refuses sessions, grants to write and pins from now on. Commits and reads go on.
  void BeginDrain();
  bool draining() const;
  // In a drain: no lease to write is open and nothing waits for a fence.
  bool drained() const;

  struct SessionView {
    SessionId session;
    std::string client_name;
    uint32_t pid = 0;
    size_t lanes = 0;
    size_t leases = 0;
    std::chrono::milliseconds age{};
    std::chrono::milliseconds silent{};
  };
  std::vector<SessionView> sessions() const;

  struct Stats {
    uint64_t sessions = 0, lanes = 0;
    uint64_t read_leases = 0, write_leases = 0, pins = 0;
    uint64_t quarantined_blocks = 0, quarantined_bytes = 0;
    // The fence that has been waited for longest; 0 if none.
    std::chrono::milliseconds oldest_fence{};
    // Since the start.
    uint64_t lookups = 0, lookup_keys = 0, lookup_hits = 0;
    uint64_t read_grants = 0, read_misses = 0, read_promotions = 0;
    uint64_t write_grants = 0, write_exists = 0, write_in_progress = 0, write_refused = 0;
    uint64_t commits = 0, commit_failures = 0, commit_checksum_failures = 0;
    uint64_t aborts = 0, removes = 0;
    uint64_t expired_reads = 0, expired_writes = 0, expired_pins = 0, expired_sessions = 0;
    uint64_t fences = 0;
    uint64_t refused_requests = 0;
  };
  Stats stats() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_KV_CORE_H_
