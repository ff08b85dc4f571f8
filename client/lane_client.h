#ifndef KVASIR_CLIENT_LANE_CLIENT_H_
#define KVASIR_CLIENT_LANE_CLIENT_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/durability.h"
#include "base/ids.h"
#include "client/client.h"
#include "client/control.h"
#include "client/outcome.h"
#include "kvasir/v1/kv.pb.h"
#include "rdma/transport.h"

namespace kvasir {

// The client's rules for one batch on one lane: what counts as a hit, when a put may be
// committed, what may be given back. Without gRPC, threads or a clock of its own.
//
// A block is a hit only if its bytes had all arrived before the lease's deadline, have
// exactly the length asked for, and match the checksum that came with the grant. The
// deadline is the TTL, less 0.1 % and kLeaseMargin, counted from before the request was
// sent. A put is committed only before the same deadline of its grant. What fails on the
// way is an outcome of its key, never an error that hides another key's answer.
//
// What is on the server's disk comes after what is in its memory: the hits of memory are
// moved first, and the rest is asked for again until it has landed or the call's time is
// up. So does a put that is not to be acknowledged before the disk has it.
//
// Every call blocks for one batch, at most kMaxKeysPerCall keys that keep the limits of
// base/limits.h, and fills `results`, aligned with the batch, whatever it returns. The
// status is that of the request as a whole: OK, or why there were no answers. A reason
// of SESSION_UNKNOWN means that the session is gone.
//
// A deadline or a lost peer leaves the lane unusable: destroy it, which ends its stream,
// and the server fences it. Read leases end with the next request, or FlushReleases.
//
// Threads: one at a time.
class LaneClient {
 public:
  struct Options {
    bool verify_checksums = true;
  };

  // Opens a lane of `session`: the transport's hello and offer are the stream's first
  // exchange. `transport` and `clock` must outlive the lane. Unavailable or
  // DeadlineExceeded if the node does not answer; FailedPrecondition if it does and the
  // transport does not work between these two hosts; else as the server says.
  static absl::StatusOr<std::unique_ptr<LaneClient>> Open(
      const Options& options, SessionId session, std::unique_ptr<ControlStream> stream,
      ClientTransport* transport, const Clock* clock, Instant deadline);
  ~LaneClient();

  struct GetCall {
    std::string_view unpin_owner = {};  // drop its pins on these keys after the grant
    Instant deadline;
  };
  absl::Status Get(std::span<const GetItem> items, const GetCall& call,
                   std::span<KeyResult> results);
  // `index` of the landings is the position in `keys`.
  absl::Status Get(std::span<const std::string_view> keys, Sink& sink, const GetCall& call,
                   std::span<KeyResult> results);

  struct PutCall {
    // Unique in the session; a retry of the same put bears the same. 0: never retried.
    uint64_t op_id = 0;
    bool replace = false;
    Durability durability = Durability::kNone;
    Instant deadline;
  };
  absl::Status Put(std::span<const PutItem> items, const PutCall& call,
                   std::span<KeyResult> results);

  struct LookupCall {
    std::string_view pin_owner = {};  // empty: no pin
    std::chrono::milliseconds pin_ttl = kDefaultLeaseTtl;
    bool pin_all = false;
    bool promote = false;
    Instant deadline;
  };
  // The response has one residency a key. Valid until the next call.
  absl::StatusOr<const v1::LookupResponse*> Lookup(std::span<const std::string_view> keys,
                                                   const LookupCall& call);
  absl::Status Remove(std::span<const std::string_view> keys, Instant deadline,
                      std::span<KeyResult> results);
  absl::Status UnpinOwner(std::string_view owner, Instant deadline);

  // Ends the read leases that wait for a next request. No effect if there are none.
  absl::Status FlushReleases(Instant deadline);
  size_t pending_releases() const { return releases_.size(); }

  // False after a deadline, a lost peer or a reply that makes no sense.
  bool usable() const;
  TransportKind transport() const { return transport_kind_; }
  LaneId id() const { return id_; }

 private:
  LaneClient(const Options& options, const Clock* clock, TransportKind transport_kind,
             std::unique_ptr<ControlStream> stream);

  absl::StatusOr<std::string> OpenExchange(SessionId session, std::string_view hello,
                                           Instant deadline);
  absl::Status Exchange(v1::LaneResponse::ResponseCase expected, Instant deadline);
  absl::Status BrokenReply(std::string_view what);
  Instant LeaseDeadline(Instant sent, uint32_t ttl_ms) const;

  // A put that is committed but not to be acknowledged yet.
  struct PendingPut {
    size_t position = 0;  // in the batch
    uint64_t lease = 0;
  };
  // How long to ask the server to wait, so that its answer comes before the deadline.
  std::chrono::milliseconds WaitBefore(Instant deadline) const;

  using KeyAt = absl::FunctionRef<std::string_view(size_t index)>;
  using Aim = absl::FunctionRef<void()>;
  absl::Status GetInRounds(KeyAt key_at, const GetCall& call, Aim aim,
                           std::span<KeyResult> results);
  absl::Status GrantReads(KeyAt key_at, const GetCall& call, bool again);
  void AimAtSlices(std::span<const GetItem> items, std::span<KeyResult> results);
  void OfferToSink(Sink& sink, std::span<KeyResult> results);
  absl::Status Fetch(KeyAt key_at, const GetCall& call, Instant sent,
                     std::span<KeyResult> results);
  void AddReadTransfer(size_t position, uint64_t checksum_seed);
  Outcome JudgeRead(const Transfer& transfer, const v1::ReadGrant& grant, bool late) const;

  absl::Status GrantWrites(std::span<const PutItem> items, const PutCall& call);
  void AddWriteTransfers(std::span<const PutItem> items, std::span<KeyResult> results);
  absl::Status FinishPut(const PutCall& call, Instant lease_deadline,
                         std::span<KeyResult> results);
  absl::Status Commit(const PutCall& call, std::span<KeyResult> results);
  absl::Status CommitAgain(const PutCall& call, std::span<KeyResult> results);
  // Sends the items in request_, which are those of `puts`.
  absl::Status CommitOnce(const PutCall& call, std::span<const PendingPut> puts,
                          std::chrono::milliseconds wait, std::span<KeyResult> results);
  absl::Status RemoveOnce(std::span<const std::string_view> keys,
                          std::chrono::milliseconds wait, Instant deadline);
  void Abort(std::span<const uint64_t> leases, Instant deadline);

  const Options options_;
  const Clock* const clock_;
  const TransportKind transport_kind_;
  std::unique_ptr<ControlStream> stream_;
  std::unique_ptr<Lane> lane_;  // set once open
  LaneId id_{};
  bool stream_usable_ = true;

  // Read leases whose bytes are ours already. At most one batch of them.
  std::vector<uint64_t> releases_;

  // Of the call under way; members so that their memory is reused.
  v1::LaneRequest request_;
  v1::LaneResponse response_;
  std::vector<size_t> asked_;      // positions of the keys of this round
  std::vector<size_t> unsettled_;  // and of those that are to be asked for again
  std::vector<PendingPut> pending_;
  std::vector<std::span<const std::span<std::byte>>> targets_;  // aligned with the keys
  std::vector<Landing> landings_;
  std::vector<std::span<std::byte>> slices_;  // payloads of a put, all of them
  std::vector<Transfer> transfers_;
  std::vector<size_t> transfer_keys_;    // of a get: place in asked_; of a put: position
  std::vector<uint64_t> write_leases_;   // aligned with transfers_
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_LANE_CLIENT_H_
