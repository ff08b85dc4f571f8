#include "service/lease_table.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/synchronization/mutex.h"
#include "base/checksum.h"
#include "base/limits.h"
#include "base/rules.h"
#include "fmt/core.h"

// Invariants I1, I2 ... are those of docs/leases.md.
namespace kvasir {
namespace {

constexpr size_t kShardBits = 4;
constexpr size_t kShards = size_t{1} << kShardBits;

absl::Status Refused() {
  // Never says which part was wrong: see TokenSealer::Open.
  return absl::PermissionDeniedError("admit: the token is not good for these bytes");
}

bool InRange(uint64_t offset_bytes, uint64_t size_bytes, uint64_t whole_bytes) {
  return offset_bytes <= whole_bytes && size_bytes <= whole_bytes - offset_bytes;
}

// S2: a token, and the lease behind it, is used only on the lane it was granted on.
bool HeldBy(const LeaseTable::Holder& owner, const LeaseTable::Holder& user) {
  return owner.session == user.session && (!rules::kS2 || owner.lane == user.lane);
}

struct Lease {
  LeaseTable::Holder holder;
  Instant expiry;
  // Exactly one of these is not empty.
  BlockRef block;
  Reservation reservation;
  std::optional<uint64_t> observed_checksum;
  // Admit calls that copy into the reservation at this moment.
  uint32_t copies = 0;

  bool writes() const { return !reservation.empty(); }
};

}  // namespace

// The leases of one session are in one shard, and the low bits of an id name it: a
// batch takes one lock, and sessions rarely wait for each other.
class LeaseTable::Impl {
 public:
  explicit Impl(const TokenSealer* sealer) : sealer_(sealer) {}

  LeaseId MakeId(SessionId session);
  absl::StatusOr<Granted> Grant(TokenClaims claims, Lease lease);
  absl::StatusOr<Write> Redeem(const Holder& holder, LeaseId lease, Instant now);
  std::optional<Write> Revoke(SessionId session, LeaseId lease);
  void Release(SessionId session, std::span<const uint64_t> leases);
  Taken Expire(Instant now);
  Taken End(SessionId session, std::optional<LaneId> lane);
  absl::Status AdmitRead(const TokenClaims& claims, uint64_t offset_bytes,
                         uint64_t size_bytes,
                         absl::FunctionRef<absl::Status(std::span<std::byte>)> copy);
  absl::Status AdmitWrite(const TokenClaims& claims, uint64_t offset_bytes,
                          uint64_t size_bytes,
                          absl::FunctionRef<absl::Status(std::span<std::byte>)> copy);
  void SetObservedChecksum(LeaseId lease, uint64_t checksum);
  uint64_t ChecksumSeedOf(LeaseId lease);
  Counts counts() const;
  size_t LeasesOf(SessionId session) const;

  const TokenSealer* sealer() const { return sealer_; }
  PinTable* pins() { return &pins_; }

 private:
  using Leases = absl::flat_hash_map<uint64_t, Lease>;

  struct alignas(64) Shard {
    mutable absl::Mutex mu;
    Leases leases ABSL_GUARDED_BY(mu);
    // Ids in the order of granting, so that what ends together ends in a fixed order.
    absl::flat_hash_map<SessionId, absl::btree_set<uint64_t>> sessions ABSL_GUARDED_BY(mu);
    absl::btree_set<std::pair<Instant, uint64_t>> by_expiry ABSL_GUARDED_BY(mu);
    uint64_t writes ABSL_GUARDED_BY(mu) = 0;

    Lease TakeLocked(Leases::iterator it) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
    Lease* FindLocked(const TokenClaims& claims) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  };

  static size_t IndexOf(SessionId session) { return session.low & (kShards - 1); }
  Shard& ShardOf(SessionId session) { return shards_[IndexOf(session)]; }
  Shard& ShardOf(LeaseId lease) { return shards_[uint64_t(lease) & (kShards - 1)]; }
  static void Put(LeaseId id, Lease lease, Taken* taken);

  const TokenSealer* const sealer_;
  // Only for uniqueness and order: no load pairs with it.
  std::atomic<uint64_t> last_number_{0};
  std::array<Shard, kShards> shards_;
  PinTable pins_;
};

LeaseId LeaseTable::Impl::MakeId(SessionId session) {
  const uint64_t number = last_number_.fetch_add(1, std::memory_order_relaxed) + 1;
  return LeaseId(number << kShardBits | IndexOf(session));
}

absl::StatusOr<LeaseTable::Granted> LeaseTable::Impl::Grant(TokenClaims claims, Lease lease) {
  Shard& shard = ShardOf(claims.session);
  claims.lease = MakeId(claims.session);
  const auto id = static_cast<uint64_t>(claims.lease);
  Granted granted{claims.lease, sealer_->Seal(claims)};
  size_t held = 0;
  {
    absl::MutexLock lock(&shard.mu);
    auto& ids = shard.sessions[claims.session];
    held = ids.size();
    if (held < kMaxLeasesPerSession) {
      ids.insert(ids.end(), id);
      shard.by_expiry.emplace(lease.expiry, id);
      shard.writes += lease.writes() ? 1 : 0;
      shard.leases.emplace(id, std::move(lease));
      return granted;
    }
  }
  return absl::ResourceExhaustedError(
      fmt::format("grant: the session holds {} leases, limit {}", held, kMaxLeasesPerSession));
}

Lease LeaseTable::Impl::Shard::TakeLocked(Leases::iterator it) {
  const uint64_t id = it->first;
  Lease lease = std::move(it->second);
  leases.erase(it);
  by_expiry.erase({lease.expiry, id});
  writes -= lease.writes() ? 1 : 0;
  const auto session = sessions.find(lease.holder.session);
  session->second.erase(id);
  if (session->second.empty()) sessions.erase(session);
  return lease;
}

absl::StatusOr<LeaseTable::Write> LeaseTable::Impl::Redeem(const Holder& holder, LeaseId id,
                                                           Instant now) {
  Shard& shard = ShardOf(id);
  absl::MutexLock lock(&shard.mu);
  const auto it = shard.leases.find(uint64_t(id));
  if (it == shard.leases.end() || !it->second.writes()) {
    return absl::NotFoundError("redeem: no such open grant");
  }
  Lease& lease = it->second;
  if (!HeldBy(lease.holder, holder)) {
    return absl::PermissionDeniedError("redeem: the grant is another lane's");
  }
  if (now >= lease.expiry) return absl::DeadlineExceededError("redeem: the grant ran out");
  if (lease.copies > 0) {  // I6
    return absl::FailedPreconditionError("redeem: bytes are still arriving");
  }
  Lease taken = shard.TakeLocked(it);
  return Write{id, taken.holder, std::move(taken.reservation), taken.observed_checksum};
}

std::optional<LeaseTable::Write> LeaseTable::Impl::Revoke(SessionId session, LeaseId id) {
  Shard& shard = ShardOf(id);
  absl::MutexLock lock(&shard.mu);
  const auto it = shard.leases.find(uint64_t(id));
  if (it == shard.leases.end() || !it->second.writes()) return std::nullopt;
  if (it->second.holder.session != session) return std::nullopt;
  Lease taken = shard.TakeLocked(it);
  return Write{id, taken.holder, std::move(taken.reservation), taken.observed_checksum};
}

void LeaseTable::Impl::Release(SessionId session, std::span<const uint64_t> leases) {
  absl::InlinedVector<BlockRef, 64> released;  // Dropped after the lock.
  Shard& shard = ShardOf(session);
  absl::MutexLock lock(&shard.mu);
  for (const uint64_t id : leases) {
    const auto it = shard.leases.find(id);
    if (it == shard.leases.end() || it->second.writes()) continue;
    if (it->second.holder.session != session) continue;
    released.push_back(std::move(shard.TakeLocked(it).block));
  }
}

void LeaseTable::Impl::Put(LeaseId id, Lease lease, Taken* taken) {
  if (!lease.writes()) {
    taken->reads.push_back(std::move(lease.block));
    return;
  }
  taken->writes.push_back(
      {id, lease.holder, std::move(lease.reservation), lease.observed_checksum});
}

LeaseTable::Taken LeaseTable::Impl::Expire(Instant now) {
  std::vector<std::pair<uint64_t, Lease>> expired;
  for (Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mu);
    while (!shard.by_expiry.empty() && shard.by_expiry.begin()->first <= now) {
      const uint64_t id = shard.by_expiry.begin()->second;
      expired.emplace_back(id, shard.TakeLocked(shard.leases.find(id)));
    }
  }
  // In the order of granting, whatever shards the sessions' random ids fell into: a
  // simulation must run the same from the same seed.
  std::sort(expired.begin(), expired.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  Taken taken;
  for (auto& [id, lease] : expired) Put(LeaseId(id), std::move(lease), &taken);
  taken.pins = pins_.Expire(now);
  return taken;
}

// Of one lane, or of all.
LeaseTable::Taken LeaseTable::Impl::End(SessionId session, std::optional<LaneId> lane) {
  Taken taken;
  Shard& shard = ShardOf(session);
  absl::MutexLock lock(&shard.mu);
  const auto held = shard.sessions.find(session);
  if (held == shard.sessions.end()) return taken;
  // A copy: TakeLocked removes from the set.
  const std::vector<uint64_t> ids(held->second.begin(), held->second.end());
  for (const uint64_t id : ids) {
    const auto it = shard.leases.find(id);
    if (lane.has_value() && it->second.holder.lane != *lane) continue;
    Put(LeaseId(id), shard.TakeLocked(it), &taken);
  }
  return taken;
}

Lease* LeaseTable::Impl::Shard::FindLocked(const TokenClaims& claims) {
  const auto it = leases.find(uint64_t(claims.lease));
  if (it == leases.end() || it->second.writes() != (claims.access == Access::kWrite)) {
    return nullptr;
  }
  return &it->second;
}

absl::Status LeaseTable::Impl::AdmitRead(
    const TokenClaims& claims, uint64_t offset_bytes, uint64_t size_bytes,
    absl::FunctionRef<absl::Status(std::span<std::byte>)> copy) {
  Shard& shard = ShardOf(claims.lease);
  BlockRef block;  // I4: a reference of our own outlives the lease, if need be.
  {
    absl::MutexLock lock(&shard.mu);
    Lease* const lease = shard.FindLocked(claims);
    if (lease == nullptr) return Refused();
    block = lease->block.Share();
  }
  if (!InRange(offset_bytes, size_bytes, block.size_bytes())) return Refused();
  const std::span<const std::byte> bytes = block.bytes().subspan(offset_bytes, size_bytes);
  // The Gate has one signature for both directions; a read's `copy` only reads.
  return copy({const_cast<std::byte*>(bytes.data()), bytes.size()});
}

absl::Status LeaseTable::Impl::AdmitWrite(
    const TokenClaims& claims, uint64_t offset_bytes, uint64_t size_bytes,
    absl::FunctionRef<absl::Status(std::span<std::byte>)> copy) {
  Shard& shard = ShardOf(claims.lease);
  std::span<std::byte> bytes;
  {
    absl::MutexLock lock(&shard.mu);
    Lease* const lease = shard.FindLocked(claims);
    if (lease == nullptr) return Refused();
    const std::span<std::byte> whole = lease->reservation.bytes();
    if (!InRange(offset_bytes, size_bytes, whole.size())) return Refused();
    bytes = whole.subspan(offset_bytes, size_bytes);
    lease->observed_checksum.reset();  // I7: what was observed is about to change.
    ++lease->copies;
  }
  // I5: the lease may expire meanwhile; its fence is not done before this copy is.
  const absl::Status status = copy(bytes);
  absl::MutexLock lock(&shard.mu);
  if (Lease* const lease = shard.FindLocked(claims)) --lease->copies;
  return status;
}

void LeaseTable::Impl::SetObservedChecksum(LeaseId id, uint64_t checksum) {
  Shard& shard = ShardOf(id);
  absl::MutexLock lock(&shard.mu);
  const auto it = shard.leases.find(uint64_t(id));
  if (it == shard.leases.end() || !it->second.writes()) return;
  it->second.observed_checksum = checksum;
}

uint64_t LeaseTable::Impl::ChecksumSeedOf(LeaseId id) {
  Shard& shard = ShardOf(id);
  absl::MutexLock lock(&shard.mu);
  const auto it = shard.leases.find(uint64_t(id));
  if (it == shard.leases.end()) return 0;
  const Lease& lease = it->second;
  return ChecksumSeed(lease.writes() ? lease.reservation.key() : lease.block.key());
}

LeaseTable::Counts LeaseTable::Impl::counts() const {
  Counts counts;
  for (const Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mu);
    counts.writes += shard.writes;
    counts.reads += shard.leases.size() - shard.writes;
  }
  counts.pins = pins_.size();
  return counts;
}

size_t LeaseTable::Impl::LeasesOf(SessionId session) const {
  const Shard& shard = shards_[IndexOf(session)];
  absl::MutexLock lock(&shard.mu);
  const auto it = shard.sessions.find(session);
  return it == shard.sessions.end() ? 0 : it->second.size();
}

LeaseTable::LeaseTable(const TokenSealer* sealer) : impl_(std::make_unique<Impl>(sealer)) {}
LeaseTable::~LeaseTable() = default;

absl::StatusOr<LeaseTable::Granted> LeaseTable::GrantRead(const Holder& holder, BlockRef block,
                                                          Instant expiry) {
  const TokenClaims claims{LeaseId{},      holder.session,     holder.lane, Access::kRead,
                           block.extent(), block.generation(), expiry};
  return impl_->Grant(claims, {.holder = holder, .expiry = expiry, .block = std::move(block)});
}

absl::StatusOr<LeaseTable::Granted> LeaseTable::GrantWrite(const Holder& holder,
                                                           Reservation reservation,
                                                           Instant expiry) {
  const TokenClaims claims{LeaseId{},     holder.session,
                           holder.lane,   Access::kWrite,
                           reservation.extent(), reservation.generation(),
                           expiry};
  return impl_->Grant(
      claims, {.holder = holder, .expiry = expiry, .reservation = std::move(reservation)});
}

LeaseId LeaseTable::MakeId(SessionId session) { return impl_->MakeId(session); }

absl::StatusOr<LeaseTable::Write> LeaseTable::Redeem(const Holder& holder, LeaseId lease,
                                                     Instant now) {
  return impl_->Redeem(holder, lease, now);
}

std::optional<LeaseTable::Write> LeaseTable::Revoke(SessionId session, LeaseId lease) {
  return impl_->Revoke(session, lease);
}

void LeaseTable::Release(SessionId session, std::span<const uint64_t> leases) {
  impl_->Release(session, leases);
}

absl::Status LeaseTable::Pin(SessionId session, std::string_view owner, BlockRef block,
                             Instant expiry) {
  return impl_->pins()->Pin(session, owner, std::move(block), expiry);
}

size_t LeaseTable::Unpin(std::string_view owner) {
  return impl_->pins()->UnpinEverywhere(owner);
}

size_t LeaseTable::Unpin(SessionId session, std::string_view owner) {
  return impl_->pins()->Unpin(session, owner);
}

size_t LeaseTable::UnpinKeys(std::string_view owner, std::span<const std::string_view> keys) {
  return impl_->pins()->UnpinKeysEverywhere(owner, keys);
}

size_t LeaseTable::UnpinKeys(SessionId session, std::string_view owner,
                             std::span<const std::string_view> keys) {
  return impl_->pins()->UnpinKeys(session, owner, keys);
}

std::vector<PinView> LeaseTable::ListPins(std::string_view after_owner,
                                          std::string_view after_key, size_t limit) const {
  return impl_->pins()->List(after_owner, after_key, limit);
}

LeaseTable::Taken LeaseTable::Expire(Instant now) { return impl_->Expire(now); }

LeaseTable::Taken LeaseTable::EndLane(const Holder& holder) {
  return impl_->End(holder.session, holder.lane);
}

LeaseTable::Taken LeaseTable::EndSession(SessionId session) {
  Taken taken = impl_->End(session, std::nullopt);
  taken.pins = impl_->pins()->EndSession(session);
  return taken;
}

LeaseTable::Counts LeaseTable::counts() const { return impl_->counts(); }

size_t LeaseTable::LeasesOf(SessionId session) const { return impl_->LeasesOf(session); }

absl::Status LeaseTable::Admit(SessionId session, LaneId lane, std::string_view sealed,
                               Access access, uint64_t offset_bytes, uint64_t size_bytes,
                               absl::FunctionRef<absl::Status(std::span<std::byte>)> copy) {
  const absl::StatusOr<TokenClaims> claims = impl_->sealer()->Open(sealed);
  if (!claims.ok() || claims->access != access) return Refused();
  if (!HeldBy({claims->session, claims->lane}, {session, lane})) return Refused();
  return access == Access::kRead ? impl_->AdmitRead(*claims, offset_bytes, size_bytes, copy)
                                 : impl_->AdmitWrite(*claims, offset_bytes, size_bytes, copy);
}

void LeaseTable::SetObservedChecksum(LeaseId lease, uint64_t checksum) {
  impl_->SetObservedChecksum(lease, checksum);
}

uint64_t LeaseTable::ChecksumSeedOf(LeaseId lease) { return impl_->ChecksumSeedOf(lease); }

}  // namespace kvasir
