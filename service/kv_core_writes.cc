#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/rules.h"
#include "base/status_reason.h"
#include "fmt/core.h"
#include "service/kv_core_impl.h"

// Invariants I1, I2 ... are those of docs/leases.md.
namespace kvasir {
namespace {

using std::chrono::milliseconds;

constexpr size_t kUsualBatch = 64;

std::string IntentFault(const v1::WriteIntent& intent) {
  if (std::string fault = KeyFault(intent.key()); !fault.empty()) return fault;
  if (intent.size_bytes() == 0) return "the size is 0";
  if (intent.size_bytes() > kMaxBlockBytes) {
    return fmt::format("the size is {} bytes, limit {}", intent.size_bytes(), kMaxBlockBytes);
  }
  if (intent.attributes().size() > kMaxAttributesBytes) {
    return fmt::format("the attributes have {} bytes, limit {}", intent.attributes().size(),
                       kMaxAttributesBytes);
  }
  return "";
}

v1::KeyOutcome OutcomeOfReserve(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kAlreadyExists: return v1::KEY_OUTCOME_EXISTS;
    case absl::StatusCode::kAborted: return v1::KEY_OUTCOME_IN_PROGRESS;
    case absl::StatusCode::kInvalidArgument: return v1::KEY_OUTCOME_INVALID;
    default: return v1::KEY_OUTCOME_REFUSED;
  }
}

v1::KeyOutcome OutcomeOfRedeem(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kPermissionDenied: return v1::KEY_OUTCOME_NOT_YOURS;
    case absl::StatusCode::kDeadlineExceeded: return v1::KEY_OUTCOME_EXPIRED;
    case absl::StatusCode::kFailedPrecondition: return v1::KEY_OUTCOME_INVALID;
    default: return v1::KEY_OUTCOME_MISS;
  }
}

v1::KeyOutcome OutcomeOf(PutOps::State state) {
  switch (state) {
    case PutOps::State::kOpen: return v1::KEY_OUTCOME_MISS;
    case PutOps::State::kCommitted: return v1::KEY_OUTCOME_OK;
    case PutOps::State::kExists: return v1::KEY_OUTCOME_EXISTS;
    case PutOps::State::kChecksumMismatch: return v1::KEY_OUTCOME_CHECKSUM_MISMATCH;
    case PutOps::State::kSettling: return v1::KEY_OUTCOME_PENDING;
    case PutOps::State::kNotStored: return v1::KEY_OUTCOME_REFUSED;
    case PutOps::State::kExistsUnsettled: return v1::KEY_OUTCOME_PENDING;
  }
  return v1::KEY_OUTCOME_MISS;
}

Durability FromWire(v1::Durability durability) {
  switch (durability) {
    case v1::DURABILITY_PROCESS: return Durability::kProcess;
    case v1::DURABILITY_POWER: return Durability::kPower;
    default: return Durability::kNone;
  }
}

absl::Status CheckDurability(v1::Durability durability, uint64_t op_id) {
  if (!v1::Durability_IsValid(durability)) {
    return BadRequest(fmt::format("put: {} is no durability", static_cast<int>(durability)));
  }
  if (durability == v1::DURABILITY_UNSPECIFIED || op_id != 0) return absl::OkStatus();
  return BadRequest("put: one that is durable needs an op_id to be asked for again");
}

}  // namespace

// One request to commit, and what it has gathered.
struct KvCore::Impl::Committing {
  uint64_t op_id = 0;
  Durability durability = Durability::kNone;
  v1::CommitResponse* response = nullptr;
  std::vector<LeaseTable::Write> mismatched;
};

struct KvCore::Impl::Reserved {
  v1::WriteGrant* grant;
  Reservation reservation;
};

absl::Status KvCore::Impl::GrantWrites(const Call& call,
                                       const v1::GrantWritesRequest& request,
                                       v1::GrantWritesResponse* response) {
  absl::Status status = CheckKeyCount("grant writes", request.writes_size());
  if (status.ok()) status = CheckNotDraining("grant writes");
  if (status.ok()) status = CheckDurability(request.durability(), request.op_id());
  if (!status.ok()) return status;
  if (call.writes_cut()) {
    return WithReason(
        absl::NotFoundError(fmt::format("lane {} takes no more writes since a grant on it ran "
                                        "out; open another",
                                        static_cast<uint64_t>(call.lane()))),
        kReasonLaneUnknown);
  }
  const auto earlier = EarlierPuts(call, request);
  absl::flat_hash_set<std::string_view> seen;
  absl::InlinedVector<Reserved, kUsualBatch> reserved;
  for (const v1::WriteIntent& intent : request.writes()) {
    v1::WriteGrant* const grant = response->add_grants();
    if (request.writes_size() > 1 && !seen.insert(intent.key()).second) {
      grant->set_outcome(v1::KEY_OUTCOME_INVALID);
      grant->set_detail("the key stands twice in the batch");
      continue;
    }
    const auto known = earlier.find(earlier.empty() ? 0 : ChecksumSeed(intent.key()));
    if (known != earlier.end() && known->second.state == PutOps::State::kCommitted) {
      grant->set_outcome(v1::KEY_OUTCOME_OK);
      continue;
    }
    if (known != earlier.end() && PutOps::IsUnsettled(known->second.state)) {
      grant->set_outcome(v1::KEY_OUTCOME_PENDING);
      grant->set_lease(static_cast<uint64_t>(known->second.lease));
      continue;
    }
    Reservation reservation;
    if (ReserveOne(call, intent, request, &reservation, grant)) {
      reserved.push_back({grant, std::move(reservation)});
    }
  }
  const milliseconds ttl = LeaseTtl(request.ttl_ms());
  const Instant expiry = clock_->Now() + ttl + kLeaseGrace;
  std::vector<PutOps::Put> puts;
  for (Reserved& one : reserved) {
    const uint64_t key_hash =
        request.op_id() == 0 ? 0 : ChecksumSeed(one.reservation.key());
    if (!GrantWrite(call, std::move(one.reservation), expiry, one.grant).ok()) continue;
    if (request.op_id() == 0) continue;
    puts.push_back({key_hash, LeaseId(one.grant->lease()), call.lane()});
  }
  call.ops()->Grant(request.op_id(), puts);
  response->set_ttl_ms(ttl.count());
  return absl::OkStatus();
}

// What this op has come to already. Grants of it that are still open on other lanes are
// taken out: the client has given those lanes up, but their writes may still be on the
// way, so their memory waits for a fence like any other.
absl::flat_hash_map<uint64_t, PutOps::Put> KvCore::Impl::EarlierPuts(
    const Call& call, const v1::GrantWritesRequest& request) {
  absl::flat_hash_map<uint64_t, PutOps::Put> earlier;
  if (request.op_id() == 0) return earlier;
  earlier = call.ops()->Find(request.op_id());
  if (earlier.empty()) return earlier;
  std::vector<LeaseTable::Write> abandoned;
  for (const v1::WriteIntent& intent : request.writes()) {
    const auto put = earlier.find(ChecksumSeed(intent.key()));
    if (put == earlier.end() || put->second.state != PutOps::State::kOpen) continue;
    if (put->second.lane == call.lane()) continue;
    auto write = leases_->Revoke(call.session(), put->second.lease);
    if (write.has_value()) abandoned.push_back(*std::move(write));
  }
  reaper_.Quarantine(std::move(abandoned));
  return earlier;
}

bool KvCore::Impl::ReserveOne(const Call& call, const v1::WriteIntent& intent,
                              const v1::GrantWritesRequest& request,
                              Reservation* reservation, v1::WriteGrant* grant) {
  if (std::string fault = IntentFault(intent); !fault.empty()) {
    grant->set_outcome(v1::KEY_OUTCOME_INVALID);
    grant->set_detail(std::move(fault));
    return false;
  }
  const bool durable = FromWire(request.durability()) != Durability::kNone;
  // Before the disk is asked for room, which what it has already does not need.
  if (durable && !request.replace() && SettleExisting(call, intent, request, grant)) {
    return false;
  }
  absl::Status status =
      durable ? store_->CheckDurable(intent.size_bytes()) : absl::OkStatus();
  if (status.ok()) {
    absl::StatusOr<Reservation> made =
        store_->Reserve(intent.key(), {.size_bytes = intent.size_bytes(),
                                       .attributes = intent.attributes(),
                                       .replace = request.replace()});
    if (made.ok()) {
      *reservation = *std::move(made);
      return true;
    }
    status = std::move(made).status();
  }
  if (absl::IsAlreadyExists(status) && durable) {
    if (SettleExisting(call, intent, request, grant)) return false;
    status = absl::UnavailableError("put: the key's block has just gone; put it again");
  }
  const v1::KeyOutcome outcome = OutcomeOfReserve(status.code());
  grant->set_outcome(outcome);
  if (outcome == v1::KEY_OUTCOME_EXISTS) {
    ++counters_.write_exists;
  } else if (outcome == v1::KEY_OUTCOME_IN_PROGRESS) {
    ++counters_.write_in_progress;
  } else {
    ++counters_.write_refused;
    grant->set_detail(std::string(ToStd(status.message())));
  }
  return false;
}

// Answers a durable put of a key that has a block: EXISTS only once that is as durable.
// False if there is none.
bool KvCore::Impl::SettleExisting(const Call& call, const v1::WriteIntent& intent,
                                  const v1::GrantWritesRequest& request,
                                  v1::WriteGrant* grant) {
  const absl::StatusOr<uint64_t> settlement =
      store_->MakeDurable(intent.key(), FromWire(request.durability()));
  if (absl::IsNotFound(settlement.status())) return false;
  if (!settlement.ok()) {
    ++counters_.write_refused;
    grant->set_outcome(v1::KEY_OUTCOME_REFUSED);
    grant->set_detail(std::string(ToStd(settlement.status().message())));
    return true;
  }
  ++counters_.write_exists;
  grant->set_outcome(v1::KEY_OUTCOME_EXISTS);
  if (*settlement == 0) return true;
  const PutOps::Put put{.key_hash = ChecksumSeed(intent.key()),
                        .lease = leases_->MakeId(call.session()),
                        .lane = call.lane(),
                        .state = PutOps::State::kExistsUnsettled,
                        .settlement = *settlement};
  call.ops()->Grant(request.op_id(), {&put, 1});
  grant->set_outcome(v1::KEY_OUTCOME_PENDING);
  grant->set_lease(static_cast<uint64_t>(put.lease));
  return true;
}

absl::Status KvCore::Impl::GrantWrite(const Call& call, Reservation reservation,
                                      Instant expiry, v1::WriteGrant* grant) {
  const Extent extent = reservation.extent();
  absl::StatusOr<LeaseTable::Granted> granted =
      leases_->GrantWrite({call.session(), call.lane()}, std::move(reservation), expiry);
  if (!granted.ok()) {
    ++counters_.write_refused;
    grant->set_outcome(v1::KEY_OUTCOME_REFUSED);
    grant->set_detail(std::string(ToStd(granted.status().message())));
    return granted.status();
  }
  ++counters_.write_grants;
  call.transport()->OnGranted(Access::kWrite, extent.size_bytes);
  grant->set_outcome(v1::KEY_OUTCOME_OK);
  grant->set_lease(static_cast<uint64_t>(granted->lease));
  grant->set_region(static_cast<uint32_t>(extent.region));
  grant->set_offset_bytes(extent.offset_bytes);
  grant->set_token(std::move(granted->sealed));
  return absl::OkStatus();
}

absl::Status KvCore::Impl::Commit(const Call& call, const v1::CommitRequest& request,
                                  v1::CommitResponse* response) {
  absl::Status status = CheckKeyCount("commit", request.items_size());
  if (status.ok()) status = CheckDurability(request.durability(), request.op_id());
  if (!status.ok()) return status;
  Committing committing{.op_id = request.op_id(),
                        .durability = FromWire(request.durability()),
                        .response = response,
                        .mismatched = {}};
  for (const v1::CommitItem& item : request.items()) {
    const v1::KeyOutcome outcome = CommitOne(call, item, &committing);
    response->add_outcomes(outcome);
    if (outcome != v1::KEY_OUTCOME_OK && outcome != v1::KEY_OUTCOME_PENDING) {
      ++counters_.commit_failures;
    }
  }
  counters_.commit_checksum_failures += committing.mismatched.size();
  reaper_.Quarantine(std::move(committing.mismatched));
  return absl::OkStatus();
}

v1::KeyOutcome KvCore::Impl::CommitOne(const Call& call, const v1::CommitItem& item,
                                       Committing* committing) {
  const LeaseId lease{item.lease()};
  absl::StatusOr<LeaseTable::Write> write =
      leases_->Redeem({call.session(), call.lane()}, lease, clock_->Now());
  if (!write.ok()) {
    // A commit whose answer was lost, or was PENDING, has taken the lease out already.
    const v1::KeyOutcome known = absl::IsNotFound(write.status())
                                     ? CommitAgain(call, lease, committing)
                                     : v1::KEY_OUTCOME_UNSPECIFIED;
    return known != v1::KEY_OUTCOME_UNSPECIFIED ? known
                                                : OutcomeOfRedeem(write.status().code());
  }
  PutOps::Put put{.lease = lease, .lane = call.lane()};
  const uint64_t op_id = committing->op_id;
  if (op_id == 0) put.key_hash = ChecksumSeed(write->reservation.key());
  const v1::KeyOutcome outcome =
      Publish(*std::move(write), item.checksum(), committing, &put);
  if (op_id != 0) {
    call.ops()->Settle(op_id, put);
  } else if (PutOps::IsUnsettled(put.state)) {
    call.ops()->Grant(op_id, {&put, 1});  // So that it can be asked for again.
  }
  return outcome;
}

v1::KeyOutcome KvCore::Impl::CommitAgain(const Call& call, LeaseId lease,
                                         Committing* committing) {
  std::optional<PutOps::Put> put = call.ops()->FindLease(committing->op_id, lease);
  if (!put.has_value()) return v1::KEY_OUTCOME_UNSPECIFIED;
  if (!PutOps::IsUnsettled(put->state)) return OutcomeOf(put->state);
  const std::optional<absl::Status> result =
      store_->settlements()->Result(put->settlement);
  if (!result.has_value()) return v1::KEY_OUTCOME_PENDING;
  const bool theirs = put->state == PutOps::State::kExistsUnsettled;
  const auto done = theirs ? PutOps::State::kExists : PutOps::State::kCommitted;
  put->state = result->ok() ? done : PutOps::State::kNotStored;
  call.ops()->Settle(committing->op_id, *put);
  if (!result->ok()) NoteDetail(*result, committing);
  return OutcomeOf(put->state);
}

v1::KeyOutcome KvCore::Impl::Publish(LeaseTable::Write write, uint64_t checksum,
                                     Committing* committing, PutOps::Put* put) {
  if (rules::kChecksum) {  // I9
    const Reservation& reservation = write.reservation;
    const uint64_t arrived =
        write.observed_checksum.has_value()
            ? *write.observed_checksum
            : BlockChecksum(ChecksumSeed(reservation.key()), reservation.bytes());
    if (arrived != checksum) {
      // Whoever got its own bytes wrong may be wrong about having finished, too.
      committing->mismatched.push_back(std::move(write));
      put->state = PutOps::State::kChecksumMismatch;
      return v1::KEY_OUTCOME_CHECKSUM_MISMATCH;
    }
  }
  const std::string key(write.reservation.key());
  const absl::StatusOr<uint64_t> settlement =
      store_->Commit(std::move(write.reservation), checksum, committing->durability);
  if (!settlement.ok()) {
    FindCommitted(key, committing, put);
  } else {
    ++counters_.commits;
    put->settlement = *settlement;
    put->state = *settlement == 0 || !rules::kSettled ? PutOps::State::kCommitted
                                                      : PutOps::State::kSettling;
  }
  return OutcomeOf(put->state);
}

// Another put was first. A durable one is told so only once that block is as durable.
void KvCore::Impl::FindCommitted(std::string_view key, Committing* committing,
                                 PutOps::Put* put) {
  put->state = PutOps::State::kExists;
  if (committing->durability == Durability::kNone) return;
  const absl::StatusOr<uint64_t> settlement =
      store_->MakeDurable(key, committing->durability);
  if (settlement.ok()) {
    put->settlement = *settlement;
    if (*settlement != 0) put->state = PutOps::State::kExistsUnsettled;
    return;
  }
  put->state = PutOps::State::kNotStored;
  NoteDetail(settlement.status(), committing);
}

// Of what was refused, the first is told why.
void KvCore::Impl::NoteDetail(const absl::Status& status, Committing* committing) {
  if (!committing->response->detail().empty()) return;
  committing->response->set_detail(std::string(ToStd(status.message())));
}

absl::Status KvCore::Impl::Abort(const Call& call, const v1::AbortRequest& request) {
  absl::Status status = CheckKeyCount("abort", request.leases_size());
  if (!status.ok()) return status;
  const Instant now = clock_->Now();
  for (const uint64_t lease : request.leases()) {
    // I6: freed at once, unless bytes are seen arriving; then it waits for its expiry
    // and a fence, as does every lease that this call may not end.
    if (leases_->Redeem({call.session(), call.lane()}, LeaseId(lease), now).ok()) {
      ++counters_.aborts;
    }
  }
  return absl::OkStatus();
}

}  // namespace kvasir
