#ifndef KVASIR_SERVICE_KV_CORE_IMPL_H_
#define KVASIR_SERVICE_KV_CORE_IMPL_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "service/kv_core.h"
#include "service/put_ops.h"
#include "service/reaper.h"
#include "service/session_table.h"
#include "service/wait_table.h"

namespace kvasir {

// The core behind its interface, by file: kv_core.cc sessions, lanes and time;
// kv_core_dispatch.cc one request of a lane; kv_core_reads.cc and kv_core_writes.cc the
// calls; kv_core_waits.cc what is put off. Each call here has entered its session already.
class KvCore::Impl {
 public:
  using Call = SessionTable::Call;
  using AfterReply = absl::AnyInvocable<void() &&>;

  Impl(const Options& options, const Clock* clock, TieredStore* store, LeaseTable* leases,
       std::vector<ServerTransport*> transports);

  absl::Status OpenSession(const v1::OpenSessionRequest& request,
                           v1::OpenSessionResponse* response);
  absl::StatusOr<LaneId> OpenLane(const Call& call, const v1::OpenLaneRequest& request,
                                  v1::OpenLaneResponse* response);
  void Step();
  Stats stats() const;
  std::vector<SessionView> SessionViews() const;

  // S1 for every call. Lane none where no token is made or used.
  absl::StatusOr<Call> Enter(SessionId session);
  absl::StatusOr<Call> Enter(SessionId session, LaneId lane);
  // Counts a request that failed as a whole.
  absl::Status Count(absl::Status status);

  absl::Status Dispatch(SessionId session, LaneId lane, const v1::LaneRequest& request,
                        v1::LaneResponse* response, AfterReply* after_reply);

  bool WhenSettled(SessionId session, const v1::LaneRequest& request,
                   WaitTable::Answer answer);

  absl::Status Lookup(const Call& call, const v1::LookupRequest& request,
                      v1::LookupResponse* response);
  absl::Status GrantReads(const Call& call, const v1::GrantReadsRequest& request,
                          v1::GrantReadsResponse* response, AfterReply* after_reply);
  absl::Status Release(const Call& call, std::span<const uint64_t> leases);
  absl::Status Remove(const Call& call, const v1::RemoveRequest& request,
                      v1::RemoveResponse* response);
  absl::Status UnpinOwner(const Call& call, const v1::UnpinOwnerRequest& request,
                          v1::UnpinOwnerResponse* response);

  absl::Status GrantWrites(const Call& call, const v1::GrantWritesRequest& request,
                           v1::GrantWritesResponse* response);
  absl::Status Commit(const Call& call, const v1::CommitRequest& request,
                      v1::CommitResponse* response);
  absl::Status Abort(const Call& call, const v1::AbortRequest& request);

  SessionTable& sessions() { return sessions_; }
  const Reaper& reaper() const { return reaper_; }
  const LeaseTable& leases() const { return *leases_; }
  std::atomic<bool>& draining() { return draining_; }
  std::atomic<bool>& recovering() { return recovering_; }

 private:
  // Since the start. Only ever added to and shown: no load pairs with a store.
  struct Counters {
    std::atomic<uint64_t> lookups{0}, lookup_keys{0}, lookup_hits{0};
    std::atomic<uint64_t> read_grants{0}, read_misses{0}, read_promotions{0};
    std::atomic<uint64_t> write_grants{0}, write_exists{0}, write_in_progress{0},
        write_refused{0};
    std::atomic<uint64_t> commits{0}, commit_failures{0}, commit_checksum_failures{0};
    std::atomic<uint64_t> aborts{0}, removes{0};
    std::atomic<uint64_t> expired_reads{0}, expired_writes{0}, expired_pins{0},
        expired_sessions{0};
    std::atomic<uint64_t> refused_requests{0};
  };
  struct Pinning;
  struct Found;
  struct Reserved;

  absl::Status CheckNotDraining(std::string_view verb) const;
  std::chrono::milliseconds LeaseTtl(uint32_t asked_ms) const;
  ServerTransport* FindTransport(TransportKind kind) const;

  static uint32_t WaitOf(const v1::LaneRequest& request);
  bool AwaitPromotion(const v1::GrantReadsRequest& request, uint64_t id);
  bool AwaitCommit(const Call& call, const v1::CommitRequest& request, uint64_t id);
  bool AwaitRemoval(const v1::RemoveRequest& request, uint64_t id);

  Residency LookUpOne(const Call& call, std::string_view key, bool within_prefix,
                      Pinning* pinning);
  // Starts to move a block that is on disk, and pins it once it is here.
  void PromoteOne(const Call& call, std::string_view key, const Pinning& pinning,
                  bool pin);
  // The key's block in memory, or, if there is none, what a read is told instead.
  v1::KeyOutcome FetchOrPromote(std::string_view key, bool asked_before, BlockRef* block);
  void GrantRead(const Call& call, Found* found, Instant expiry, v1::ReadGrant* grant,
                 std::vector<ServerTransport::PushItem>* pushes);

  absl::flat_hash_map<uint64_t, PutOps::Put> EarlierPuts(
      const Call& call, const v1::GrantWritesRequest& request);
  bool ReserveOne(const Call& call, const v1::WriteIntent& intent,
                  const v1::GrantWritesRequest& request, Reservation* reservation,
                  v1::WriteGrant* grant);
  bool SettleExisting(const Call& call, const v1::WriteIntent& intent,
                      const v1::GrantWritesRequest& request, v1::WriteGrant* grant);
  absl::Status GrantWrite(const Call& call, Reservation reservation, Instant expiry,
                          v1::WriteGrant* grant);
  struct Committing;
  v1::KeyOutcome CommitOne(const Call& call, const v1::CommitItem& item,
                           Committing* committing);
  v1::KeyOutcome CommitAgain(const Call& call, LeaseId lease, Committing* committing);
  // Fills `put` in.
  v1::KeyOutcome Publish(LeaseTable::Write write, uint64_t checksum,
                         Committing* committing, PutOps::Put* put);
  void FindCommitted(std::string_view key, Committing* committing, PutOps::Put* put);
  static void NoteDetail(const absl::Status& status, Committing* committing);

  const Options options_;
  const Clock* const clock_;
  TieredStore* const store_;
  LeaseTable* const leases_;
  const std::vector<ServerTransport*> transports_;
  // Set once by BeginDrain. A call that reads false just before is like one before it.
  std::atomic<bool> draining_{false};
  // The same the other way round: cleared once, with all that was recovered in place.
  std::atomic<bool> recovering_{false};
  Counters counters_;
  WaitTable waits_;
  SessionTable sessions_;
  Reaper reaper_;  // After the sessions: they report to it what ended.
};

// What a request as a whole may break. InvalidArgument with LIMIT_EXCEEDED or
// BAD_REQUEST; `verb` begins the message.
absl::Status CheckKeyCount(std::string_view verb, size_t keys);
absl::Status CheckReleaseCount(std::string_view verb, size_t leases);
absl::Status CheckOwner(std::string_view verb, std::string_view owner);
absl::Status BadRequest(std::string_view message);
// Empty if `key` may be a key; otherwise what is wrong with it.
std::string KeyFault(std::string_view key);

}  // namespace kvasir

#endif  // KVASIR_SERVICE_KV_CORE_IMPL_H_
