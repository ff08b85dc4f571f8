#ifndef KVASIR_SERVICE_LEASE_TABLE_H_
#define KVASIR_SERVICE_LEASE_TABLE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/ids.h"
#include "rdma/token.h"
#include "rdma/transport.h"
#include "service/pin_table.h"
#include "storage/block.h"

namespace kvasir {

// Every live lease on this node. A read lease owns a BlockRef, a write lease a
// Reservation, a pin a BlockRef without a token. Holds no clock and no thread: time is
// an argument. A lease is live until Redeem, Release, Revoke, Expire or End* takes it
// out: its memory cannot be reused before that. Thread-safe.
class LeaseTable final : public Gate {
 public:
  // Who may use a lease: the token works on this lane of this session only.
  struct Holder {
    SessionId session;
    LaneId lane{};
  };
  struct Granted {
    LeaseId lease{};
    std::string sealed;
  };
  struct Write {
    LeaseId lease{};
    Holder holder;
    Reservation reservation;
    std::optional<uint64_t> observed_checksum;  // Gate::SetObservedChecksum
  };
  // Leases taken out of the table, still holding their memory.
  struct Taken {
    std::vector<BlockRef> reads;  // of a session or lane that ends: drop after its fence
    std::vector<Write> writes;    // fence their lanes, then drop
    std::vector<BlockRef> pins;
  };
  using PinView = kvasir::PinView;

  // `sealer` is not owned and must outlive the table.
  explicit LeaseTable(const TokenSealer* sealer);
  ~LeaseTable() override;

  // ResourceExhausted beyond kMaxLeasesPerSession; `block` is dropped then.
  absl::StatusOr<Granted> GrantRead(const Holder& holder, BlockRef block, Instant expiry);
  absl::StatusOr<Granted> GrantWrite(const Holder& holder, Reservation reservation,
                                     Instant expiry);
  // An id that no lease has had or will have, in the order of granting: for what a client
  // is to ask for again by it, like a lease, though it holds nothing.
  LeaseId MakeId(SessionId session);
  // Ends a write lease and returns what it guarded. NotFound if it is not live;
  // PermissionDenied if it is another holder's; DeadlineExceeded if its time is up at
  // `now`; FailedPrecondition while Admit copies into it. On error it stays in the
  // table for Expire.
  absl::StatusOr<Write> Redeem(const Holder& holder, LeaseId lease, Instant now);
  // Takes out a write lease of `session`, whatever its lane and time: fence its lane,
  // then drop it. Nothing if it is not live.
  std::optional<Write> Revoke(SessionId session, LeaseId lease);
  // Ends read leases of the session. Unknown ids are ignored: release is idempotent.
  void Release(SessionId session, std::span<const uint64_t> leases);

  // Pins: see pin_table.h. Owners of two sessions are two owners, whatever their names;
  // `session` none is the node's own, and outlives every session. ResourceExhausted
  // beyond kMaxPins.
  absl::Status Pin(SessionId session, std::string_view owner, BlockRef block, Instant expiry);
  // How many pins were dropped: of every owner of that name, or of one session's.
  size_t Unpin(std::string_view owner);
  size_t Unpin(SessionId session, std::string_view owner);
  size_t UnpinKeys(std::string_view owner, std::span<const std::string_view> keys);
  size_t UnpinKeys(SessionId session, std::string_view owner,
                   std::span<const std::string_view> keys);
  // Pins greater than (`after_owner`, `after_key`) in that order, at most `limit`; one
  // row for an owner's name and a key.
  std::vector<PinView> ListPins(std::string_view after_owner, std::string_view after_key,
                                size_t limit) const;

  // Takes out every lease and pin whose time is up at `now`.
  Taken Expire(Instant now);
  // Takes out what was granted on one lane, or to a whole session with its pins.
  Taken EndLane(const Holder& holder);
  Taken EndSession(SessionId session);

  struct Counts {
    uint64_t reads = 0, writes = 0, pins = 0;
  };
  Counts counts() const;
  size_t LeasesOf(SessionId session) const;

  absl::Status Admit(SessionId session, LaneId lane, std::string_view sealed, Access access,
                     uint64_t offset_bytes, uint64_t size_bytes,
                     absl::FunctionRef<absl::Status(std::span<std::byte>)> copy) override;
  void SetObservedChecksum(LeaseId lease, uint64_t checksum) override;
  uint64_t ChecksumSeedOf(LeaseId lease) override;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_LEASE_TABLE_H_
