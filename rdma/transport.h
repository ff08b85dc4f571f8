#ifndef KVASIR_RDMA_TRANSPORT_H_
#define KVASIR_RDMA_TRANSPORT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/region.h"
#include "rdma/token.h"

// How bytes named by tokens move. A transport has two halves: ServerTransport in the
// server's process, ClientTransport in the client's. tests/rdma/transport_contract.h is
// the suite that every pair passes.
namespace kvasir {

enum class TransportKind : uint8_t { kRdma, kShm, kTcp };
std::string_view TransportName(TransportKind kind);  // "rdma", "shm", "tcp"
absl::StatusOr<TransportKind> ParseTransport(std::string_view text);

// Carries the client half's hello to the server half and its offer back. In production
// this is the first exchange of a lane's control stream. Both are opaque to all but the
// transport and at most kMaxEndpointBytes.
using Rendezvous = absl::FunctionRef<absl::StatusOr<std::string>(std::string_view hello)>;

// Local memory that lanes may read into or write from. Deregisters on death. Must
// outlive every Run that names a slice of it.
class MemoryRegion {
 public:
  virtual ~MemoryRegion() = default;
  virtual std::span<std::byte> bytes() const = 0;
};

// One token's bytes and the local slices they come from or go to.
struct Transfer {
  Token token;
  // In order; sizes add up to token.extent.size_bytes. Read only if the access is
  // kWrite. An empty list skips a pushed block: its bytes are dropped.
  std::span<const std::span<std::byte>> local;
  // Hash the bytes as they move (base/checksum.h).
  bool want_checksum = true;
  uint64_t checksum_seed = 0;

  // Set by Run.
  uint64_t checksum = 0;
  absl::Status status;
};

// A message is a request on a lane, or its answer, that travels where the lane's bytes do
// instead of on its control stream. Neither is larger than this.
inline constexpr size_t kLaneMessageBytesMax = 8 * 1024;

// One lane of a session's data path: queue pairs, a socket, or a mapping. Runs one batch
// at a time; not thread-safe.
class Lane {
 public:
  virtual ~Lane() = default;

  // Moves every transfer, in the direction of its token's access (one direction a
  // batch), and sets its status: OK; PermissionDenied if the server refused the token;
  // DeadlineExceeded; Unavailable if the peer is gone; InvalidArgument if the sizes of
  // the slices do not add up (nothing is moved for that transfer). An OK write is
  // visible to every later reader at the server. On return no NIC, kernel or thread
  // touches any `local` slice again, even after DeadlineExceeded. After
  // DeadlineExceeded or Unavailable the lane is unusable: see usable().
  virtual void Run(std::span<Transfer> batch, Instant deadline) = 0;
  virtual bool usable() const = 0;

  // Whether messages can be sent on it, one at a time. Between Send and the answer the
  // lane is good for Receive alone.
  virtual bool carries_messages() const { return false; }
  // Sends a request. InvalidArgument if it is larger than kLaneMessageBytesMax, or the
  // lane carries none; Unavailable if the peer is gone, after which the lane is unusable.
  virtual absl::Status Send(std::string_view request);
  // Waits until `until` for the answer, which is valid until the next Send. Empty: it has
  // not come, and can be waited for again. Unavailable as with Send.
  virtual absl::StatusOr<std::optional<std::string_view>> Receive(Instant until);
};

// The client's half. Thread-safe.
class ClientTransport {
 public:
  virtual ~ClientTransport() = default;
  virtual TransportKind kind() const = 0;
  virtual absl::StatusOr<std::unique_ptr<MemoryRegion>> Register(
      std::span<std::byte> memory) = 0;
  // Opens a lane. Unavailable if the server's half cannot be reached;
  // FailedPrecondition if this transport cannot work here (another host, no device).
  virtual absl::StatusOr<std::unique_ptr<Lane>> Connect(Rendezvous rendezvous,
                                                        Instant deadline) = 0;
};

// Lets a transport whose server half copies bytes itself honour leases.
class Gate {
 public:
  virtual ~Gate() = default;
  // Runs `copy` on the bytes of [offset_bytes, offset_bytes + size_bytes) within the
  // token's extent, with the lease held alive, and returns its status. PermissionDenied
  // if the MAC is wrong, or the lease is not live, not this session's, not this lane's
  // or not for `access`, or the range leaves the token's extent; `copy` does not run
  // then. `copy` must not wait: it moves what it can and comes again.
  virtual absl::Status Admit(SessionId session, LaneId lane, std::string_view sealed,
                             Access access, uint64_t offset_bytes, uint64_t size_bytes,
                             absl::FunctionRef<absl::Status(std::span<std::byte>)> copy) = 0;
  // The server's own CPU has copied all bytes of a write and these are what it saw:
  // Commit compares with this instead of reading the block again.
  virtual void SetObservedChecksum(LeaseId lease, uint64_t checksum) = 0;
  // Seed of the checksum of the block under a write lease; 0 if the lease is not live.
  virtual uint64_t ChecksumSeedOf(LeaseId lease) = 0;
};

// What a fence cuts. A put that expired takes the write half of its lane alone, where
// the transport can tell halves apart, so that the lane's gets survive.
enum class FenceScope : uint8_t { kWrites, kAll };

struct FenceTarget {
  SessionId session;
  LaneId lane{};  // 0: every lane of the session
  FenceScope scope = FenceScope::kAll;
};

// Bytes and operations that a transport's server half has moved or granted, by kind.
struct TransportStats {
  uint64_t lanes = 0;  // open now
  uint64_t read_bytes_total = 0;
  uint64_t written_bytes_total = 0;
  uint64_t read_ops_total = 0;
  uint64_t written_ops_total = 0;
  uint64_t refused_frames_total = 0;
  uint64_t messages_total = 0;
};

// The server's half. Thread-safe. Owns no thread: a transport with background work
// gives `loops() > 0`, and the node runs each Poll(loop) in a thread of its own.
class ServerTransport {
 public:
  virtual ~ServerTransport() = default;
  virtual TransportKind kind() const = 0;

  // Makes `region` reachable by lanes accepted from now on. The region must outlive
  // this object.
  virtual absl::Status Export(const Region& region) = 0;

  // Adds a lane to `session` and returns the offer for its client. InvalidArgument for
  // a hello that is not one; FailedPrecondition if this client cannot be served.
  virtual absl::StatusOr<std::string> Accept(SessionId session, LaneId lane,
                                             std::string_view hello) = 0;

  // Cuts the target off and runs `done` once none of its bytes can still land. Never
  // runs `done` early: a fence that does not return keeps memory quarantined. A target
  // that has no lane is fenced already: `done` runs before Fence returns. After kAll
  // the lane is gone and its resources are freed.
  virtual void Fence(const FenceTarget& target, absl::AnyInvocable<void() &&> done) = 0;

  // A block that Push may send. `sealed` is a token as Gate::Admit takes it.
  struct PushItem {
    LeaseId lease{};
    std::string sealed;
    uint64_t size_bytes = 0;
  };
  // Starts sending `items` on the lane, in order, unasked. False if this transport
  // never pushes or the lane is gone; nothing was sent then.
  virtual bool Push(SessionId session, LaneId lane, std::span<PushItem> items) {
    (void)session, (void)lane, (void)items;
    return false;
  }
  virtual bool can_push() const { return false; }

  // A lease has been granted on one of this transport's lanes. For the stats of a
  // transport whose clients move the bytes past it; the others count what they move.
  virtual void OnGranted(Access access, uint64_t size_bytes) {
    (void)access, (void)size_bytes;
  }
  // Sessions that have asked so often for what they may not have that they should end.
  // Each is told once.
  virtual std::vector<SessionId> TakeMisbehaved() { return {}; }

  // Answers a message, once, from any thread. False if the lane is gone.
  using Reply = absl::AnyInvocable<bool(std::string_view answer) &&>;
  // Called with each message on the threads of Poll, several at a time: must not wait.
  // `request` is valid until it returns.
  using MessageHandler =
      absl::AnyInvocable<void(SessionId session, LaneId lane, std::string_view request,
                              Reply reply) const>;
  // From now on lanes carry messages, if this transport does at all. Before the first
  // Accept and Poll.
  virtual void HandleMessages(MessageHandler handler) { (void)handler; }

  virtual size_t loops() const { return 0; }
  // Does the background work of one loop, waiting at most `wait_max` for some. Each
  // loop is called by one thread at a time.
  virtual void Poll(size_t loop, std::chrono::milliseconds wait_max) {
    (void)loop, (void)wait_max;
  }
  virtual TransportStats stats() const = 0;
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_TRANSPORT_H_
