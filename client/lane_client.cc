#include "client/lane_client.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/checksum.h"
#include "base/limits.h"
#include "base/rules.h"
#include "base/status_reason.h"
#include "client/message_stream.h"

namespace kvasir {
namespace {

v1::Durability ToProto(Durability durability) {
  switch (durability) {
    case Durability::kNone:
      return v1::DURABILITY_UNSPECIFIED;
    case Durability::kProcess:
      return v1::DURABILITY_PROCESS;
    case Durability::kPower:
      return v1::DURABILITY_POWER;
  }
  return v1::DURABILITY_UNSPECIFIED;
}

v1::TransportKind ToProto(TransportKind kind) {
  switch (kind) {
    case TransportKind::kRdma:
      return v1::TRANSPORT_KIND_RDMA;
    case TransportKind::kShm:
      return v1::TRANSPORT_KIND_SHM;
    case TransportKind::kTcp:
      return v1::TRANSPORT_KIND_TCP;
  }
  return v1::TRANSPORT_KIND_UNSPECIFIED;
}

// What an answer that was put off may take beyond its wait. One that comes after the
// call's deadline would cost the lane.
constexpr std::chrono::milliseconds kWaitMargin{20};

// A key that is being filled for the first time is not there yet.
Outcome ReadOutcomeOf(v1::KeyOutcome outcome) {
  return outcome == v1::KEY_OUTCOME_IN_PROGRESS ? Outcome::kAbsent : OutcomeOf(outcome);
}

void Set(KeyResult* result, const absl::Status& status) {
  result->outcome = OutcomeOf(status);
  result->detail = std::string(status.message());
}

absl::Status FillAll(absl::Status status, std::span<KeyResult> results) {
  for (KeyResult& result : results) Set(&result, status);
  return status;
}

uint64_t SizeOf(std::span<const std::span<std::byte>> slices) {
  uint64_t size = 0;
  for (const std::span<std::byte> slice : slices) size += slice.size();
  return size;
}

// A TTL that outlives the call; 0, the server's default, where that is enough.
uint32_t TtlFor(Instant now, Instant deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now);
  if (left + 2 * kLeaseMargin <= kDefaultLeaseTtl) return 0;
  const auto wanted = left + left * kLeaseDriftPerMille / 1000 + 2 * kLeaseMargin;
  return static_cast<uint32_t>(std::min(wanted, kMaxLeaseTtl).count());
}

// The stream ended, and not just this request on it.
bool EndsStream(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if (reason == kReasonSessionUnknown || reason == kReasonLaneUnknown) return true;
  return reason.empty() && (absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status) ||
                            absl::IsUnauthenticated(status));
}

}  // namespace

LaneClient::LaneClient(const Options& options, const Clock* clock,
                       TransportKind transport_kind, std::unique_ptr<ControlStream> stream)
    : options_(options),
      clock_(clock),
      transport_kind_(transport_kind),
      stream_(std::move(stream)) {}

LaneClient::~LaneClient() = default;

absl::StatusOr<std::unique_ptr<LaneClient>> LaneClient::Open(
    const Options& options, SessionId session, std::unique_ptr<ControlStream> stream,
    ClientTransport* transport, const Clock* clock, Instant deadline) {
  std::unique_ptr<LaneClient> lane(
      new LaneClient(options, clock, transport->kind(), std::move(stream)));
  const auto exchange = [&](std::string_view hello) {
    return lane->OpenExchange(session, hello, deadline);
  };
  absl::StatusOr<std::unique_ptr<Lane>> path = transport->Connect(exchange, deadline);
  // The node has answered, so it is the transport that does not work, not the node.
  if (lane->id_ != LaneId{} && absl::IsUnavailable(path.status())) {
    return absl::FailedPreconditionError(path.status().message());
  }
  if (!path.ok()) return path.status();
  lane->lane_ = *std::move(path);
  if (lane->lane_->carries_messages()) {
    lane->stream_ = std::make_unique<MessageStream>(std::move(lane->stream_),
                                                    lane->lane_.get(), clock);
  }
  return lane;
}

absl::StatusOr<std::string> LaneClient::OpenExchange(SessionId session, std::string_view hello,
                                                     Instant deadline) {
  v1::OpenLaneRequest* const open = request_.mutable_open();
  open->set_session(session.ToBytes());
  open->set_transport(ToProto(transport_kind_));
  open->set_hello(hello.data(), hello.size());
  if (absl::Status status = Exchange(v1::LaneResponse::kOpen, deadline); !status.ok()) {
    return status;
  }
  id_ = LaneId{response_.open().lane()};
  return std::move(*response_.mutable_open()->mutable_offer());
}

bool LaneClient::usable() const {
  return stream_usable_ && lane_ != nullptr && lane_->usable();
}

// Sends request_ with the releases that wait, and leaves the answer in response_.
absl::Status LaneClient::Exchange(v1::LaneResponse::ResponseCase expected, Instant deadline) {
  if (!stream_usable_) return absl::UnavailableError("use lane: it is closed");
  // Nothing is sent that could only be too late: that would cost the lane its stream.
  if (clock_->Now() >= deadline) return absl::DeadlineExceededError("use lane: no time left");
  request_.clear_releases();
  request_.mutable_releases()->Add(releases_.begin(), releases_.end());
  absl::Status status = stream_->Exchange(request_, &response_, deadline);
  if (EndsStream(status)) stream_usable_ = false;
  // Where the stream is lost, so is the lane, and its end releases the rest.
  releases_.clear();
  if (status.ok() && response_.response_case() != expected) {
    return BrokenReply("the answer is to another question");
  }
  return status;
}

absl::Status LaneClient::BrokenReply(std::string_view what) {
  stream_usable_ = false;
  return absl::InternalError(fmt::format("read reply on lane: {}", what));
}

std::chrono::milliseconds LaneClient::WaitBefore(Instant deadline) const {
  const auto left =
      std::chrono::floor<std::chrono::milliseconds>(deadline - clock_->Now());
  return std::clamp(left - kWaitMargin, std::chrono::milliseconds(0), kMaxSettleWait);
}

Instant LaneClient::LeaseDeadline(Instant sent, uint32_t ttl_ms) const {
  if (!rules::kDeadline) return Instant::max();
  const BootClock::duration ttl =
      std::min(std::chrono::milliseconds(ttl_ms), kMaxLeaseTtl);
  return sent + ttl - ttl * kLeaseDriftPerMille / 1000 - kLeaseMargin;
}

// ---- Get

absl::Status LaneClient::Get(std::span<const GetItem> items, const GetCall& call,
                             std::span<KeyResult> results) {
  KV_CHECK(items.size() == results.size());
  return GetInRounds([items](size_t index) { return items[index].key; }, call,
                     [&] { AimAtSlices(items, results); }, results);
}

absl::Status LaneClient::Get(std::span<const std::string_view> keys, Sink& sink,
                             const GetCall& call, std::span<KeyResult> results) {
  KV_CHECK(keys.size() == results.size());
  return GetInRounds([keys](size_t index) { return keys[index]; }, call,
                     [&] { OfferToSink(sink, results); }, results);
}

// The first round asks for all keys. Each further one asks for those that were on the
// server's disk, and gets what has landed since: at least one, or the wait has run out.
absl::Status LaneClient::GetInRounds(KeyAt key_at, const GetCall& call, Aim aim,
                                     std::span<KeyResult> results) {
  asked_.resize(results.size());
  std::iota(asked_.begin(), asked_.end(), 0);
  unsettled_.clear();
  for (bool again = false;; again = true) {
    const Instant sent = clock_->Now();
    absl::Status status = GrantReads(key_at, call, again);
    if (!status.ok()) {
      for (const size_t i : asked_) Set(&results[i], status);
      return status;
    }
    targets_.assign(results.size(), {});
    aim();
    status = Fetch(key_at, call, sent, results);
    // Who is out of time leaves them as they are: late.
    if (unsettled_.empty() || !usable() || WaitBefore(call.deadline).count() == 0) {
      return status;
    }
    asked_.swap(unsettled_);
    unsettled_.clear();
  }
}

absl::Status LaneClient::GrantReads(KeyAt key_at, const GetCall& call, bool again) {
  v1::GrantReadsRequest* const grant = request_.mutable_grant_reads();
  grant->clear_keys();
  for (const size_t i : asked_) {
    const std::string_view key = key_at(i);
    grant->add_keys(key.data(), key.size());
  }
  grant->set_ttl_ms(TtlFor(clock_->Now(), call.deadline));
  grant->set_push(transport_kind_ == TransportKind::kTcp);
  grant->set_unpin_owner(call.unpin_owner.data(), call.unpin_owner.size());
  grant->set_wait_ms(again ? WaitBefore(call.deadline).count() : 0);
  absl::Status status = Exchange(v1::LaneResponse::kGrantReads, call.deadline);
  if (!status.ok()) return status;
  const v1::GrantReadsResponse& response = response_.grant_reads();
  if (response.grants_size() != static_cast<int>(asked_.size())) {
    return BrokenReply(
        fmt::format("{} grants for {} keys", response.grants_size(), asked_.size()));
  }
  for (const v1::ReadGrant& one : response.grants()) {
    if (one.size_bytes() > kMaxBlockBytes) {
      return BrokenReply(fmt::format("a block of {} bytes", one.size_bytes()));
    }
  }
  return absl::OkStatus();
}

void LaneClient::AimAtSlices(std::span<const GetItem> items,
                             std::span<KeyResult> results) {
  for (size_t n = 0; n < asked_.size(); ++n) {
    const size_t i = asked_[n];
    const v1::ReadGrant& grant = response_.grant_reads().grants(static_cast<int>(n));
    if (SizeOf(items[i].into) == grant.size_bytes()) targets_[i] = items[i].into;
    results[i] = {.outcome = Outcome::kSize, .size_bytes = 0, .detail = {}};
  }
}

void LaneClient::OfferToSink(Sink& sink, std::span<KeyResult> results) {
  landings_.clear();
  for (size_t n = 0; n < asked_.size(); ++n) {
    const size_t i = asked_[n];
    const v1::ReadGrant& grant = response_.grant_reads().grants(static_cast<int>(n));
    results[i] = {.outcome = Outcome::kSkipped, .size_bytes = 0, .detail = {}};
    if (grant.outcome() != v1::KEY_OUTCOME_OK) continue;
    landings_.push_back({.index = i,
                         .size_bytes = grant.size_bytes(),
                         .attributes = grant.attributes(),
                         .local = {}});
  }
  if (landings_.empty()) return;
  sink.Place(landings_);
  for (const Landing& landing : landings_) {
    if (landing.local.empty()) continue;
    if (landing.local.size() == landing.size_bytes) {
      targets_[landing.index] = std::span(&landing.local, 1);
    } else {
      results[landing.index].outcome = Outcome::kSize;
    }
  }
}

// Moves what was granted and has a target, and judges it. `results` say why the granted
// keys without a target have none.
absl::Status LaneClient::Fetch(KeyAt key_at, const GetCall& call, Instant sent,
                               std::span<KeyResult> results) {
  v1::GrantReadsResponse* const response = response_.mutable_grant_reads();
  transfers_.clear();
  transfer_keys_.clear();
  for (size_t n = 0; n < asked_.size(); ++n) {
    const size_t i = asked_[n];
    v1::ReadGrant* const grant = response->mutable_grants(static_cast<int>(n));
    if (grant->outcome() == v1::KEY_OUTCOME_PROMOTING) unsettled_.push_back(i);
    if (grant->outcome() != v1::KEY_OUTCOME_OK) {
      results[i].outcome = ReadOutcomeOf(grant->outcome());
      results[i].detail = std::move(*grant->mutable_detail());
      continue;
    }
    releases_.push_back(grant->lease());
    // What is pushed comes in any case, and a skip keeps the lane in step.
    if (!targets_[i].empty() || response->pushed()) {
      AddReadTransfer(n, ChecksumSeed(key_at(i)));
    }
  }
  if (transfers_.empty()) return absl::OkStatus();
  const Instant lease_deadline = LeaseDeadline(sent, response->ttl_ms());
  lane_->Run(transfers_, std::min(call.deadline, lease_deadline));
  const bool late = rules::kDeadline && clock_->Now() >= lease_deadline;
  for (size_t t = 0; t < transfers_.size(); ++t) {
    const size_t i = asked_[transfer_keys_[t]];
    if (targets_[i].empty()) continue;
    const v1::ReadGrant& grant = response->grants(static_cast<int>(transfer_keys_[t]));
    results[i].outcome = JudgeRead(transfers_[t], grant, late);
    results[i].size_bytes = grant.size_bytes();
    if (!transfers_[t].status.ok()) Set(&results[i], transfers_[t].status);
  }
  return absl::OkStatus();
}

void LaneClient::AddReadTransfer(size_t position, uint64_t checksum_seed) {
  v1::GrantReadsResponse* const response = response_.mutable_grant_reads();
  v1::ReadGrant* const grant = response->mutable_grants(static_cast<int>(position));
  const auto& target = targets_[asked_[position]];
  Transfer& transfer = transfers_.emplace_back();
  transfer.token.lease = LeaseId{grant->lease()};
  transfer.token.extent = {RegionId{grant->region()}, grant->offset_bytes(),
                           grant->size_bytes()};
  transfer.token.access = Access::kRead;
  transfer.token.pushed = response->pushed();
  transfer.token.sealed = std::move(*grant->mutable_token());
  transfer.local = target;
  transfer.want_checksum = options_.verify_checksums && !target.empty();
  transfer.checksum_seed = checksum_seed;
  transfer_keys_.push_back(position);
}

Outcome LaneClient::JudgeRead(const Transfer& transfer, const v1::ReadGrant& grant,
                              bool late) const {
  if (!transfer.status.ok()) return OutcomeOf(transfer.status);
  // A lease that may have run out guards nothing: the bytes may be another block's.
  if (late) return Outcome::kLate;
  if (rules::kChecksum && options_.verify_checksums &&
      transfer.checksum != grant.checksum()) {
    return Outcome::kChecksum;
  }
  return Outcome::kOk;
}

// ---- Put

absl::Status LaneClient::Put(std::span<const PutItem> items, const PutCall& call,
                             std::span<KeyResult> results) {
  KV_CHECK(items.size() == results.size());
  const Instant sent = clock_->Now();
  if (absl::Status status = GrantWrites(items, call); !status.ok()) {
    return FillAll(std::move(status), results);
  }
  const Instant lease_deadline = LeaseDeadline(sent, response_.grant_writes().ttl_ms());
  AddWriteTransfers(items, results);
  if (transfers_.empty()) return CommitAgain(call, results);
  lane_->Run(transfers_, std::min(call.deadline, lease_deadline));
  return FinishPut(call, lease_deadline, results);
}

absl::Status LaneClient::GrantWrites(std::span<const PutItem> items, const PutCall& call) {
  v1::GrantWritesRequest* const grant = request_.mutable_grant_writes();
  grant->clear_writes();
  grant->set_op_id(call.op_id);
  grant->set_replace(call.replace);
  grant->set_durability(ToProto(call.durability));
  grant->set_ttl_ms(TtlFor(clock_->Now(), call.deadline));
  for (const PutItem& item : items) {
    v1::WriteIntent* const write = grant->add_writes();
    write->set_key(item.key.data(), item.key.size());
    write->set_attributes(item.attributes.data(), item.attributes.size());
    uint64_t size = 0;
    for (const std::span<const std::byte> slice : item.payload) size += slice.size();
    write->set_size_bytes(size);
  }
  absl::Status status = Exchange(v1::LaneResponse::kGrantWrites, call.deadline);
  if (!status.ok()) return status;
  const int granted = response_.grant_writes().grants_size();
  if (granted != static_cast<int>(items.size())) {
    return BrokenReply(fmt::format("{} grants for {} puts", granted, items.size()));
  }
  return absl::OkStatus();
}

void LaneClient::AddWriteTransfers(std::span<const PutItem> items,
                                   std::span<KeyResult> results) {
  transfers_.clear();
  transfer_keys_.clear();
  write_leases_.clear();
  pending_.clear();
  slices_.clear();
  // Transfers point into slices_, so it may not move once they do.
  size_t slices = 0;
  for (const PutItem& item : items) slices += item.payload.size();
  slices_.reserve(slices);
  for (size_t i = 0; i < items.size(); ++i) {
    v1::WriteGrant* const grant =
        response_.mutable_grant_writes()->mutable_grants(static_cast<int>(i));
    results[i] = {OutcomeOf(grant->outcome()), 0, std::move(*grant->mutable_detail())};
    if (grant->outcome() == v1::KEY_OUTCOME_PENDING) {
      pending_.push_back({i, grant->lease()});
    }
    // OK without a lease: this op_id has committed it already.
    if (grant->outcome() != v1::KEY_OUTCOME_OK || grant->lease() == 0) continue;
    const size_t first = slices_.size();
    for (const std::span<const std::byte> slice : items[i].payload) {
      // Transfer::local serves both directions; a write only reads it.
      slices_.emplace_back(const_cast<std::byte*>(slice.data()), slice.size());
    }
    Transfer& transfer = transfers_.emplace_back();
    transfer.local = std::span(slices_).subspan(first);
    results[i].size_bytes = SizeOf(transfer.local);
    transfer.token.lease = LeaseId{grant->lease()};
    transfer.token.extent = {RegionId{grant->region()}, grant->offset_bytes(),
                             results[i].size_bytes};
    transfer.token.access = Access::kWrite;
    transfer.token.sealed = std::move(*grant->mutable_token());
    transfer.checksum_seed = ChecksumSeed(items[i].key);
    transfer_keys_.push_back(i);
    write_leases_.push_back(grant->lease());
  }
}

// Commits what arrived in time. Gives back what is known to be at rest: where a write may
// still be in flight, the lane is unusable and its end gives the memory back, fenced.
absl::Status LaneClient::FinishPut(const PutCall& call, Instant lease_deadline,
                                   std::span<KeyResult> results) {
  const bool late = rules::kDeadline && clock_->Now() >= lease_deadline;
  std::vector<uint64_t> aborted;
  size_t kept = 0;
  for (size_t t = 0; t < transfers_.size(); ++t) {
    KeyResult& result = results[transfer_keys_[t]];
    const bool arrived = transfers_[t].status.ok();
    if (arrived && !late) {
      transfers_[kept].checksum = transfers_[t].checksum;
      transfer_keys_[kept] = transfer_keys_[t];
      write_leases_[kept++] = write_leases_[t];
      continue;
    }
    if (arrived) {
      result.outcome = Outcome::kLate;
      result.detail = "the grant ran out before the commit";
    } else {
      Set(&result, transfers_[t].status);
    }
    if (arrived || lane_->usable()) aborted.push_back(write_leases_[t]);
  }
  transfers_.resize(kept);
  transfer_keys_.resize(kept);
  write_leases_.resize(kept);
  absl::Status status = kept > 0 ? Commit(call, results) : CommitAgain(call, results);
  if (!aborted.empty()) Abort(aborted, call.deadline);
  return status;
}

absl::Status LaneClient::Commit(const PutCall& call, std::span<KeyResult> results) {
  std::vector<PendingPut> committed;
  v1::CommitRequest* const commit = request_.mutable_commit();
  commit->Clear();
  for (size_t t = 0; t < transfers_.size(); ++t) {
    v1::CommitItem* const item = commit->add_items();
    item->set_lease(write_leases_[t]);
    item->set_checksum(transfers_[t].checksum);
    committed.push_back({transfer_keys_[t], write_leases_[t]});
  }
  absl::Status status =
      CommitOnce(call, committed, std::chrono::milliseconds(0), results);
  return status.ok() ? CommitAgain(call, results) : status;
}

// Asks what those came to that the server's disk did not have yet.
absl::Status LaneClient::CommitAgain(const PutCall& call, std::span<KeyResult> results) {
  while (!pending_.empty() && WaitBefore(call.deadline).count() > 0) {
    const std::vector<PendingPut> asked = std::exchange(pending_, {});
    v1::CommitRequest* const commit = request_.mutable_commit();
    commit->Clear();
    for (const PendingPut& put : asked) commit->add_items()->set_lease(put.lease);
    absl::Status status = CommitOnce(call, asked, WaitBefore(call.deadline), results);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status LaneClient::CommitOnce(const PutCall& call, std::span<const PendingPut> puts,
                                    std::chrono::milliseconds wait,
                                    std::span<KeyResult> results) {
  v1::CommitRequest* const commit = request_.mutable_commit();
  commit->set_op_id(call.op_id);
  commit->set_durability(ToProto(call.durability));
  commit->set_wait_ms(static_cast<uint32_t>(wait.count()));
  absl::Status status = Exchange(v1::LaneResponse::kCommit, call.deadline);
  const v1::CommitResponse& response = response_.commit();
  if (status.ok() && response.outcomes_size() != static_cast<int>(puts.size())) {
    status = BrokenReply(fmt::format("{} outcomes for {} commits",
                                     response.outcomes_size(), puts.size()));
  }
  for (size_t n = 0; n < puts.size(); ++n) {
    KeyResult& result = results[puts[n].position];
    if (!status.ok()) {
      Set(&result, status);
      continue;
    }
    const v1::KeyOutcome outcome = response.outcomes(static_cast<int>(n));
    if (outcome == v1::KEY_OUTCOME_PENDING) pending_.push_back(puts[n]);
    if (outcome == v1::KEY_OUTCOME_REFUSED) result.detail = response.detail();
    // Not granted any more, so its time was up.
    result.outcome =
        outcome == v1::KEY_OUTCOME_MISS ? Outcome::kLate : OutcomeOf(outcome);
  }
  return status;
}

void LaneClient::Abort(std::span<const uint64_t> leases, Instant deadline) {
  v1::AbortRequest* const abort = request_.mutable_abort();
  abort->mutable_leases()->Assign(leases.begin(), leases.end());
  // A grant that is not given back runs out by itself.
  Exchange(v1::LaneResponse::kAbort, deadline).IgnoreError();
}

// ---- The rest

absl::StatusOr<const v1::LookupResponse*> LaneClient::Lookup(
    std::span<const std::string_view> keys, const LookupCall& call) {
  v1::LookupRequest* const lookup = request_.mutable_lookup();
  lookup->clear_keys();
  for (const std::string_view key : keys) lookup->add_keys(key.data(), key.size());
  lookup->set_pin_owner(call.pin_owner.data(), call.pin_owner.size());
  lookup->set_pin_ttl_ms(static_cast<uint32_t>(call.pin_ttl.count()));
  lookup->set_pin_all(call.pin_all);
  lookup->set_promote(call.promote);
  absl::Status status = Exchange(v1::LaneResponse::kLookup, call.deadline);
  if (!status.ok()) return status;
  const v1::LookupResponse& response = response_.lookup();
  if (response.residency().size() != keys.size()) {
    return BrokenReply(fmt::format("{} residencies for {} keys", response.residency().size(),
                                   keys.size()));
  }
  return &response;
}

absl::Status LaneClient::Remove(std::span<const std::string_view> keys, Instant deadline,
                                std::span<KeyResult> results) {
  KV_CHECK(keys.size() == results.size());
  asked_.resize(keys.size());
  std::iota(asked_.begin(), asked_.end(), 0);
  unsettled_.clear();  // A get that ran out of time has left its own.
  for (bool again = false;; again = true) {
    absl::Status status =
        RemoveOnce(keys, again ? WaitBefore(deadline) : std::chrono::milliseconds(0),
                   deadline);
    if (!status.ok()) {
      for (const size_t i : asked_) Set(&results[i], status);
      return status;
    }
    // What was found, and is gone for good now, is a miss to who asks again.
    for (size_t n = 0; n < asked_.size(); ++n) {
      const v1::KeyOutcome outcome = response_.remove().outcomes(static_cast<int>(n));
      const bool gone = again && outcome == v1::KEY_OUTCOME_MISS;
      results[asked_[n]] = {gone ? Outcome::kOk : OutcomeOf(outcome), 0, {}};
      if (outcome == v1::KEY_OUTCOME_PENDING) unsettled_.push_back(asked_[n]);
    }
    asked_ = std::exchange(unsettled_, {});
    if (asked_.empty() || WaitBefore(deadline).count() == 0) return absl::OkStatus();
  }
}

absl::Status LaneClient::RemoveOnce(std::span<const std::string_view> keys,
                                    std::chrono::milliseconds wait,
                                    Instant deadline) {
  v1::RemoveRequest* const remove = request_.mutable_remove();
  remove->clear_keys();
  remove->set_wait_ms(static_cast<uint32_t>(wait.count()));
  for (const size_t i : asked_) remove->add_keys(keys[i].data(), keys[i].size());
  absl::Status status = Exchange(v1::LaneResponse::kRemove, deadline);
  const int answered = response_.remove().outcomes_size();
  if (status.ok() && answered != static_cast<int>(asked_.size())) {
    status =
        BrokenReply(fmt::format("{} outcomes for {} keys", answered, asked_.size()));
  }
  return status;
}

absl::Status LaneClient::UnpinOwner(std::string_view owner, Instant deadline) {
  request_.mutable_unpin_owner()->set_owner(owner.data(), owner.size());
  return Exchange(v1::LaneResponse::kUnpinOwner, deadline);
}

absl::Status LaneClient::FlushReleases(Instant deadline) {
  if (releases_.empty()) return absl::OkStatus();
  request_.mutable_release()->clear_leases();
  return Exchange(v1::LaneResponse::kRelease, deadline);
}

}  // namespace kvasir
