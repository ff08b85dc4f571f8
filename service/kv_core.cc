#include "service/kv_core.h"

#include <algorithm>
#include <utility>

#include "base/status_reason.h"
#include "fmt/core.h"
#include "proto/codec.h"
#include "service/kv_core_impl.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

v1::TransportKind ToWire(TransportKind kind) {
  switch (kind) {
    case TransportKind::kRdma: return v1::TRANSPORT_KIND_RDMA;
    case TransportKind::kShm: return v1::TRANSPORT_KIND_SHM;
    case TransportKind::kTcp: return v1::TRANSPORT_KIND_TCP;
  }
  return v1::TRANSPORT_KIND_UNSPECIFIED;
}

absl::StatusOr<TransportKind> FromWire(v1::TransportKind kind) {
  switch (kind) {
    case v1::TRANSPORT_KIND_RDMA: return TransportKind::kRdma;
    case v1::TRANSPORT_KIND_SHM: return TransportKind::kShm;
    case v1::TRANSPORT_KIND_TCP: return TransportKind::kTcp;
    default:
      return BadRequest(fmt::format("open lane: {} is no transport", static_cast<int>(kind)));
  }
}

absl::Status LimitError(std::string_view verb, std::string_view what, size_t value,
                        size_t limit) {
  return WithReason(absl::InvalidArgumentError(
                        fmt::format("{}: {} {} exceed the limit {}", verb, value, what, limit)),
                    kReasonLimit);
}

// When to ask again who came during a recovery.
constexpr milliseconds kRecoveryRetry{1'000};

milliseconds SinceThen(Instant then, Instant now) {
  return std::chrono::duration_cast<milliseconds>(now - then);
}

}  // namespace

absl::Status BadRequest(std::string_view message) {
  return WithReason(absl::InvalidArgumentError({message.data(), message.size()}),
                    kReasonBadRequest);
}

absl::Status CheckKeyCount(std::string_view verb, size_t keys) {
  if (keys <= kMaxKeysPerCall) return absl::OkStatus();
  return LimitError(verb, "keys", keys, kMaxKeysPerCall);
}

absl::Status CheckReleaseCount(std::string_view verb, size_t leases) {
  if (leases <= kMaxReleasesPerCall) return absl::OkStatus();
  return LimitError(verb, "releases", leases, kMaxReleasesPerCall);
}

absl::Status CheckOwner(std::string_view verb, std::string_view owner) {
  if (owner.size() <= kMaxOwnerBytes) return absl::OkStatus();
  return LimitError(verb, "bytes of owner", owner.size(), kMaxOwnerBytes);
}

std::string KeyFault(std::string_view key) {
  if (key.empty()) return "the key is empty";
  if (key.size() <= kMaxKeyBytes) return "";
  return fmt::format("the key has {} bytes, limit {}", key.size(), kMaxKeyBytes);
}

KvCore::Impl::Impl(const Options& options, const Clock* clock, TieredStore* store,
                   LeaseTable* leases, std::vector<ServerTransport*> transports)
    : options_(options),
      clock_(clock),
      store_(store),
      leases_(leases),
      transports_(std::move(transports)),
      sessions_({options.sessions_max, options.session_silence,
                 [this](const SessionTable::Ended& ended) { reaper_.Retire(ended); }}),
      reaper_(clock, leases, &sessions_, transports_) {}

absl::Status KvCore::Impl::CheckNotDraining(std::string_view verb) const {
  if (!draining_.load(std::memory_order_relaxed)) return absl::OkStatus();
  return WithReason(
      absl::UnavailableError(fmt::format("{}: the server is draining", verb)),
      kReasonDraining);
}

milliseconds KvCore::Impl::LeaseTtl(uint32_t asked_ms) const {
  if (asked_ms == 0) return options_.lease_ttl;
  return std::clamp(milliseconds(asked_ms), kMinLeaseTtl, kMaxLeaseTtl);
}

ServerTransport* KvCore::Impl::FindTransport(TransportKind kind) const {
  const auto it = std::find_if(transports_.begin(), transports_.end(),
                               [kind](auto* transport) { return transport->kind() == kind; });
  return it == transports_.end() ? nullptr : *it;
}

absl::Status KvCore::Impl::OpenSession(const v1::OpenSessionRequest& request,
                                       v1::OpenSessionResponse* response) {
  if (absl::Status status = CheckNotDraining("open session"); !status.ok()) return status;
  if (recovering_.load(std::memory_order_relaxed)) {
    return WithReason(absl::UnavailableError("open session: the server is recovering"),
                      kReasonRecovering, kRecoveryRetry);
  }
  const size_t name_bytes = std::max(request.client_name().size(), request.host_id().size());
  if (name_bytes > kMaxClientNameBytes) {
    return LimitError("open session", "bytes of a name", name_bytes, kMaxClientNameBytes);
  }
  const absl::StatusOr<SessionId> session =
      sessions_.Open(request.client_name(), request.pid(), clock_->Now());
  if (!session.ok()) return session.status();
  const bool elsewhere = !options_.host_id.empty() && !request.host_id().empty() &&
                         request.host_id() != options_.host_id;
  for (ServerTransport* const transport : transports_) {
    if (elsewhere && transport->kind() == TransportKind::kShm) continue;
    response->add_transports(ToWire(transport->kind()));
  }
  response->set_session(session->ToBytes());
  response->set_epoch(static_cast<uint64_t>(options_.epoch));
  response->set_node_name(options_.node_name);
  response->set_heartbeat_interval_ms(options_.heartbeat_interval.count());
  response->set_silence_ms(options_.session_silence.count());
  response->set_lease_ttl_ms(options_.lease_ttl.count());
  response->set_block_bytes_max(kMaxBlockBytes);
  response->set_keys_per_call_max(kMaxKeysPerCall);
  return absl::OkStatus();
}

absl::StatusOr<LaneId> KvCore::Impl::OpenLane(const Call& call,
                                              const v1::OpenLaneRequest& request,
                                              v1::OpenLaneResponse* response) {
  const absl::StatusOr<TransportKind> kind = FromWire(request.transport());
  if (!kind.ok()) return kind.status();
  if (request.hello().size() > kMaxEndpointBytes) {
    return LimitError("open lane", "bytes of hello", request.hello().size(),
                      kMaxEndpointBytes);
  }
  ServerTransport* const transport = FindTransport(*kind);
  if (transport == nullptr) {
    return absl::FailedPreconditionError(
        fmt::format("open lane: {} is not offered here", TransportName(*kind)));
  }
  // Registered before it exists, so that it cannot exist without being fenced at the
  // session's end (leases.md, I8).
  const absl::StatusOr<LaneId> lane = sessions_.AddLane(call, transport);
  if (!lane.ok()) return lane.status();
  absl::StatusOr<std::string> offer =
      transport->Accept(call.session(), *lane, request.hello());
  if (!offer.ok()) {
    sessions_.ForgetLane(call, *lane);
    return offer.status();
  }
  response->set_lane(static_cast<uint64_t>(*lane));
  response->set_offer(*std::move(offer));
  return *lane;
}

absl::StatusOr<SessionTable::Call> KvCore::Impl::Enter(SessionId session) {
  return sessions_.Enter(session, clock_->Now());
}

absl::StatusOr<SessionTable::Call> KvCore::Impl::Enter(SessionId session, LaneId lane) {
  return sessions_.Enter(session, lane, clock_->Now());
}

absl::Status KvCore::Impl::Count(absl::Status status) {
  if (!status.ok()) ++counters_.refused_requests;
  return status;
}

void KvCore::Impl::Step() {
  waits_.Step(clock_->Now());
  counters_.expired_sessions += sessions_.EndSilent(clock_->Now());
  for (ServerTransport* const transport : transports_) {
    for (const SessionId& session : transport->TakeMisbehaved()) {
      sessions_.EndSession(session);
    }
  }
  const Reaper::Expired expired = reaper_.Expire();
  counters_.expired_reads += expired.reads;
  counters_.expired_writes += expired.writes;
  counters_.expired_pins += expired.pins;
}

std::vector<KvCore::SessionView> KvCore::Impl::SessionViews() const {
  std::vector<SessionView> views;
  const Instant now = clock_->Now();
  for (SessionTable::View& view : sessions_.sessions()) {
    views.push_back({.session = view.session,
                     .client_name = std::move(view.client_name),
                     .pid = view.pid,
                     .lanes = view.lanes,
                     .leases = leases_->LeasesOf(view.session),
                     .age = SinceThen(view.opened, now),
                     .silent = SinceThen(view.last_sign, now)});
  }
  return views;
}

KvCore::Stats KvCore::Impl::stats() const {
  const SessionTable::Counts connected = sessions_.counts();
  const LeaseTable::Counts held = leases_->counts();
  const Reaper::Stats reaper = reaper_.stats();
  return {.sessions = connected.sessions,
          .lanes = connected.lanes,
          .read_leases = held.reads,
          .write_leases = held.writes,
          .pins = held.pins,
          .quarantined_blocks = reaper.blocks,
          .quarantined_bytes = reaper.bytes,
          .oldest_fence = reaper.oldest_fence,
          .lookups = counters_.lookups,
          .lookup_keys = counters_.lookup_keys,
          .lookup_hits = counters_.lookup_hits,
          .read_grants = counters_.read_grants,
          .read_misses = counters_.read_misses,
          .read_promotions = counters_.read_promotions,
          .write_grants = counters_.write_grants,
          .write_exists = counters_.write_exists,
          .write_in_progress = counters_.write_in_progress,
          .write_refused = counters_.write_refused,
          .commits = counters_.commits,
          .commit_failures = counters_.commit_failures,
          .commit_checksum_failures = counters_.commit_checksum_failures,
          .aborts = counters_.aborts,
          .removes = counters_.removes,
          .expired_reads = counters_.expired_reads,
          .expired_writes = counters_.expired_writes,
          .expired_pins = counters_.expired_pins,
          .expired_sessions = counters_.expired_sessions,
          .fences = reaper.fences,
          .refused_requests = counters_.refused_requests};
}

KvCore::KvCore(const Options& options, const Clock* clock, TieredStore* store,
               LeaseTable* leases, std::vector<ServerTransport*> transports)
    : impl_(std::make_unique<Impl>(options, clock, store, leases, std::move(transports))) {}
KvCore::~KvCore() = default;

absl::Status KvCore::OpenSession(const v1::OpenSessionRequest& request,
                                 v1::OpenSessionResponse* response) {
  response->Clear();
  return impl_->Count(impl_->OpenSession(request, response));
}

void KvCore::CloseSession(SessionId session) { impl_->sessions().EndSession(session); }

absl::Status KvCore::Heartbeat(SessionId session) {
  return impl_->Count(impl_->Enter(session).status());
}

absl::StatusOr<LaneId> KvCore::OpenLane(SessionId session, const v1::OpenLaneRequest& request,
                                        v1::OpenLaneResponse* response) {
  response->Clear();
  const absl::StatusOr<Impl::Call> call = impl_->Enter(session);
  if (!call.ok()) return impl_->Count(call.status());
  absl::StatusOr<LaneId> lane = impl_->OpenLane(*call, request, response);
  if (!lane.ok()) return impl_->Count(lane.status());
  return lane;
}

void KvCore::CloseLane(SessionId session, LaneId lane) {
  impl_->sessions().EndLane(session, lane);
}

bool KvCore::WhenSettled(SessionId session, const v1::LaneRequest& request,
                         absl::AnyInvocable<void() &&> answer) {
  return impl_->WhenSettled(session, request, std::move(answer));
}

void KvCore::Step() { impl_->Step(); }
void KvCore::BeginRecovery() { impl_->recovering() = true; }
void KvCore::EndRecovery() { impl_->recovering() = false; }
void KvCore::BeginDrain() { impl_->draining() = true; }
bool KvCore::draining() const { return impl_->draining(); }

bool KvCore::drained() const {
  // In this order: what leaves the leases to be fenced is in the reaper by then.
  return draining() && impl_->leases().counts().writes == 0 && impl_->reaper().idle();
}

std::vector<KvCore::SessionView> KvCore::sessions() const { return impl_->SessionViews(); }
KvCore::Stats KvCore::stats() const { return impl_->stats(); }

}  // namespace kvasir
