#include "client/node_client.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/status_reason.h"

namespace kvasir {
namespace {

// A call that gave the node less time than this says nothing about its health.
constexpr std::chrono::milliseconds kPatience{100};
constexpr std::chrono::milliseconds kRetryPauseMax{20};
// Lanes keep read leases at most this long without need, plus one Step.
constexpr std::chrono::milliseconds kReleaseIdle{50};
constexpr std::chrono::milliseconds kReleaseTimeout{100};
constexpr std::chrono::milliseconds kCloseTimeout{200};

TransportKind FromProto(v1::TransportKind kind) {
  switch (kind) {
    case v1::TRANSPORT_KIND_RDMA:
      return TransportKind::kRdma;
    case v1::TRANSPORT_KIND_SHM:
      return TransportKind::kShm;
    default:
      return TransportKind::kTcp;
  }
}

bool Offers(const v1::OpenSessionResponse& opened, TransportKind kind) {
  return std::any_of(
      opened.transports().begin(), opened.transports().end(),
      [kind](int offered) { return FromProto(static_cast<v1::TransportKind>(offered)) == kind; });
}

void Fill(const absl::Status& status, std::span<KeyResult> results) {
  for (KeyResult& result : results) {
    result = {OutcomeOf(status), 0, std::string(status.message())};
  }
}

// Each failed attempt is followed by a pause.
Breaker::Options ReconnectOptions(Breaker::Options options) {
  options.failures_to_open = 1;
  return options;
}

// Runs `part(offset, count)` for each stretch of at most kMaxKeysPerCall keys.
void InParts(size_t keys, absl::FunctionRef<void(size_t offset, size_t count)> part) {
  for (size_t offset = 0; offset < keys; offset += kMaxKeysPerCall) {
    part(offset, std::min(kMaxKeysPerCall, keys - offset));
  }
}

// Shows a part of a batch's landings by their position in the whole batch.
class OffsetSink final : public Sink {
 public:
  OffsetSink(Sink& sink, size_t offset) : sink_(sink), offset_(offset) {}
  void Place(std::span<Landing> landings) override {
    for (Landing& landing : landings) landing.index += offset_;
    sink_.Place(landings);
    for (Landing& landing : landings) landing.index -= offset_;
  }

 private:
  Sink& sink_;
  const size_t offset_;
};

}  // namespace

NodeClient::NodeClient(const Options& options, std::unique_ptr<NodeChannel> channel,
                       std::vector<ClientTransport*> ladder, const Clock* clock,
                       Counters* counters)
    : options_(options),
      channel_(std::move(channel)),
      ladder_(std::move(ladder)),
      clock_(clock),
      counters_(counters),
      breaker_(options.breaker),
      reconnect_(ReconnectOptions(options.breaker)),
      next_op_id_(options.seed),
      pool_(
          options.lanes_max,
          [this](const LanePool::Session& session, Instant deadline) {
            return OpenLane(session, deadline);
          },
          clock) {}

NodeClient::~NodeClient() { Close(); }

// ---- Session

absl::Status NodeClient::Connect(Instant deadline) {
  absl::Status status = TryConnect(deadline);
  if (status.ok()) {
    breaker_.OnSuccess();
    reconnect_.OnSuccess();
  } else {
    reconnect_.OnFailure(clock_->Now());
  }
  return status;
}

absl::Status NodeClient::TryConnect(Instant deadline) {
  v1::OpenSessionRequest request;
  request.set_client_name(options_.client_name);
  request.set_host_id(options_.host_id);
  request.set_pid(options_.pid);
  absl::StatusOr<v1::OpenSessionResponse> opened = channel_->OpenSession(request, deadline);
  if (!opened.ok()) return opened.status();
  absl::StatusOr<SessionId> id = SessionId::FromBytes(opened->session());
  if (!id.ok()) return id.status();

  Session session;
  session.id = *id;
  session.epoch = Epoch{opened->epoch()};
  session.beat_interval = std::chrono::milliseconds(std::max(opened->heartbeat_interval_ms(), 1u));
  session.silence = std::chrono::milliseconds(opened->silence_ms());
  session.heartbeat = channel_->OpenHeartbeat(*id);
  absl::StatusOr<bool> draining = session.heartbeat->Beat(deadline);
  if (!draining.ok()) return draining.status();
  SetDraining(*draining);
  session.next_beat = clock_->Now() + session.beat_interval;

  LanePool::Session lanes{.id = *id, .transport = nullptr, .term = 0};
  absl::StatusOr<std::unique_ptr<LaneClient>> lane = OpenFirstLane(*opened, &lanes, deadline);
  if (!lane.ok()) {
    // The end of the heartbeat ends the session in any case.
    channel_->CloseSession(*id, clock_->Now() + kCloseTimeout).IgnoreError();
    return lane.status();
  }
  // S3: another epoch voids every token; they went with the lanes of the last session.
  if (was_connected_) {
    counters_->CountReconnect();
    Log(LogLevel::kInfo, fmt::format("connected to node {} again{}", options_.name,
                                     session.epoch == last_epoch_ ? "" : ", which restarted"));
  }
  was_connected_ = true;
  last_epoch_ = session.epoch;
  transport_.store(static_cast<int>(lanes.transport->kind()), std::memory_order_relaxed);
  session_ = std::move(session);
  pool_.Start(lanes, *std::move(lane));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<LaneClient>> NodeClient::OpenFirstLane(
    const v1::OpenSessionResponse& opened, LanePool::Session* session, Instant deadline) {
  std::string failed;
  for (size_t i = 0; i < ladder_.size(); ++i) {
    const std::string_view name = TransportName(ladder_[i]->kind());
    if (!Offers(opened, ladder_[i]->kind())) {
      failed += fmt::format("; {}: not offered", name);
      continue;
    }
    session->transport = ladder_[i];
    // A transport that hangs leaves time for those after it.
    const Instant now = clock_->Now();
    const Instant share = now + (deadline - now) / static_cast<int>(ladder_.size() - i);
    absl::StatusOr<std::unique_ptr<LaneClient>> lane =
        LaneClient::Open({.verify_checksums = options_.verify_checksums}, session->id,
                         channel_->OpenStream(), session->transport, clock_, share);
    if (lane.ok()) {
      LogTransport(fmt::format("node {}: transport {}{}", options_.name, name, failed));
      return lane;
    }
    failed += fmt::format("; {}: {}", name, std::string(lane.status().message()));
    counters_->CountFallback();
  }
  return absl::FailedPreconditionError(
      fmt::format("connect to node {}: no transport works{}", options_.name, failed));
}

void NodeClient::LogTransport(std::string_view line) {
  if (line == last_transport_line_) return;
  last_transport_line_ = line;
  Log(LogLevel::kInfo, line);
}

absl::StatusOr<std::unique_ptr<LaneClient>> NodeClient::OpenLane(
    const LanePool::Session& session, Instant deadline) {
  const bool patient = deadline - clock_->Now() >= kPatience;
  absl::StatusOr<std::unique_ptr<LaneClient>> lane =
      LaneClient::Open({.verify_checksums = options_.verify_checksums}, session.id,
                       channel_->OpenStream(), session.transport, clock_, deadline);
  if (lane.ok()) return lane;
  // The transport of this session has stopped to work: choose again.
  if (absl::IsFailedPrecondition(lane.status())) pool_.StopTerm(session.term);
  Report(lane.status(), /*lane_usable=*/true, patient, session.term);
  return lane;
}

void NodeClient::Step() {
  const Instant now = clock_->Now();
  // A call may have learnt that the session is gone.
  if (session_.has_value() && !pool_.serving()) EndSession("the node dropped the session");
  const bool suspect = suspect_.exchange(false, std::memory_order_relaxed);
  if (session_.has_value() && (suspect || now >= session_->next_beat)) Beat(now);
  if (!session_.has_value() && reconnect_.Admit(now)) {
    // What failed makes a pause; a later Step tries again.
    Connect(now + options_.reconnect_timeout).IgnoreError();
  }
  pool_.FlushIdle(kReleaseIdle, clock_->Now() + kReleaseTimeout);
}

void NodeClient::Beat(Instant now) {
  const absl::StatusOr<bool> draining = session_->heartbeat->Beat(
      now + std::max(session_->silence - session_->beat_interval, session_->beat_interval));
  if (!draining.ok()) return EndSession(ToStd(draining.status().message()));
  SetDraining(*draining);
  session_->next_beat = now + session_->beat_interval;
}

void NodeClient::SetDraining(bool draining) {
  if (draining_.exchange(draining, std::memory_order_relaxed) == draining) return;
  Log(LogLevel::kInfo, fmt::format("node {} {}", options_.name,
                                   draining ? "is draining: it is asked for gets alone"
                                            : "takes puts again"));
}

void NodeClient::EndSession(std::string_view why) {
  Log(LogLevel::kWarning, fmt::format("lost node {}: {}", options_.name, why));
  transport_.store(kNoTransport, std::memory_order_relaxed);
  pool_.Stop();
  session_.reset();
}

void NodeClient::Close() {
  if (!closing_.HasBeenNotified()) closing_.Notify();
  pool_.Stop();
  transport_.store(kNoTransport, std::memory_order_relaxed);
  if (!session_.has_value()) return;
  const SessionId id = session_->id;
  session_.reset();
  // A server that does not hear it notices the silence.
  channel_->CloseSession(id, clock_->Now() + kCloseTimeout).IgnoreError();
}

std::optional<TransportKind> NodeClient::transport() const {
  const int kind = transport_.load(std::memory_order_relaxed);
  if (kind == kNoTransport) return std::nullopt;
  return static_cast<TransportKind>(kind);
}

size_t NodeClient::stripes_max() const {
  if (transport() != TransportKind::kRdma) return 1;
  return std::clamp<size_t>(pool_.free_lanes(), 1, kStripesMax);
}

// ---- One request

absl::Status NodeClient::WithLane(Instant deadline, Retry retry, UseLane use) {
  if (!pool_.serving()) return absl::UnavailableError("ask node: there is no session");
  if (!breaker_.Admit(clock_->Now())) {
    return absl::UnavailableError("ask node: its breaker is open");
  }
  budget_.OnCall();
  for (int attempt = 0;; ++attempt) {
    absl::Status status = AskOnce(deadline, use);
    if (retry == Retry::kNo || !MayRetry(status, attempt, deadline)) return status;
    counters_->CountRetry();
  }
}

absl::Status NodeClient::AskOnce(Instant deadline, UseLane use) {
  absl::StatusOr<LanePool::Held> lane = pool_.Acquire(deadline);
  if (!lane.ok()) return lane.status();
  const bool patient = deadline - clock_->Now() >= kPatience;
  absl::Status status = use(**lane);
  Report(status, (*lane)->usable(), patient, lane->term());
  return status;
}

void NodeClient::Report(const absl::Status& status, bool lane_usable, bool patient,
                        uint64_t term) {
  const bool has_reason = !ReasonOf(status).empty();
  if (ReasonOf(status) == kReasonSessionUnknown) {
    pool_.StopTerm(term);
  } else if ((absl::IsUnavailable(status) && !has_reason) ||
             (patient && (absl::IsDeadlineExceeded(status) || !lane_usable))) {
    suspect_.store(true, std::memory_order_relaxed);
    breaker_.OnFailure(clock_->Now());
  } else if (lane_usable) {
    breaker_.OnSuccess();
  }
}

// Waits a little if so, to let the node notice that the lane is gone.
bool NodeClient::MayRetry(const absl::Status& status, int attempt, Instant deadline) {
  if (!absl::IsUnavailable(status) || !ReasonOf(status).empty()) return false;
  if (attempt >= kRetriesMax || !pool_.serving() || !budget_.Take()) return false;
  const uint64_t draw = next_op_id_.fetch_add(1, std::memory_order_relaxed) * 0x9e3779b97f4a7c15;
  const auto pause = kRetryPauseMax * static_cast<int>(draw >> 56) / 256;
  if (clock_->Now() + pause >= deadline) return false;
  return !closing_.WaitForNotificationWithTimeout(absl::FromChrono(pause));
}

// ---- Batches

void NodeClient::Get(std::span<const GetItem> items, const LaneClient::GetCall& call,
                     std::span<KeyResult> results) {
  InParts(items.size(), [&](size_t offset, size_t count) {
    const std::span<KeyResult> part = results.subspan(offset, count);
    std::optional<TransportKind> used;
    const absl::Status status = WithLane(call.deadline, Retry::kYes, [&](LaneClient& lane) {
      used = lane.transport();
      return lane.Get(items.subspan(offset, count), call, part);
    });
    if (!used.has_value()) Fill(status, part);
    counters_->CountGet(part, used.value_or(TransportKind::kTcp));
  });
}

void NodeClient::Get(std::span<const std::string_view> keys, Sink& sink,
                     const LaneClient::GetCall& call, std::span<KeyResult> results) {
  InParts(keys.size(), [&](size_t offset, size_t count) {
    const std::span<KeyResult> part = results.subspan(offset, count);
    OffsetSink part_sink(sink, offset);
    std::optional<TransportKind> used;
    const absl::Status status = WithLane(call.deadline, Retry::kYes, [&](LaneClient& lane) {
      used = lane.transport();
      return lane.Get(keys.subspan(offset, count), part_sink, call, part);
    });
    if (!used.has_value()) Fill(status, part);
    counters_->CountGet(part, used.value_or(TransportKind::kTcp));
  });
}

void NodeClient::Put(std::span<const PutItem> items, const PutCall& call,
                     std::span<KeyResult> results) {
  if (draining_.load(std::memory_order_relaxed)) {
    Fill(absl::UnavailableError("put: the node is draining"), results);
    return counters_->CountPut(results, TransportKind::kTcp);
  }
  InParts(items.size(), [&](size_t offset, size_t count) {
    const std::span<KeyResult> part = results.subspan(offset, count);
    // 0 would mean that it is never retried.
    const uint64_t op_id = next_op_id_.fetch_add(1, std::memory_order_relaxed) | 1ull << 63;
    std::optional<TransportKind> used;
    const absl::Status status = WithLane(call.deadline, Retry::kYes, [&](LaneClient& lane) {
      used = lane.transport();
      return lane.Put(items.subspan(offset, count),
                      {.op_id = op_id,
                       .replace = call.replace,
                       .durability = call.durability,
                       .deadline = call.deadline},
                      part);
    });
    if (!used.has_value()) Fill(status, part);
    counters_->CountPut(part, used.value_or(TransportKind::kTcp));
  });
}

size_t NodeClient::Lookup(std::span<const std::string_view> keys,
                          const LaneClient::LookupCall& call, std::span<KeyResult> results) {
  size_t pinned_count = 0;
  LaneClient::LookupCall part_call = call;
  InParts(keys.size(), [&](size_t offset, size_t count) {
    const std::span<KeyResult> part = results.subspan(offset, count);
    const absl::Status status = WithLane(call.deadline, Retry::kYes, [&](LaneClient& lane) {
      const auto response = lane.Lookup(keys.subspan(offset, count), part_call);
      if (!response.ok()) return response.status();
      const std::string& residency = (*response)->residency();
      for (size_t i = 0; i < count; ++i) {
        part[i].outcome =
            residency[i] >= v1::RESIDENCY_MEMORY ? Outcome::kOk : Outcome::kAbsent;
        part[i].on_disk = residency[i] == v1::RESIDENCY_DISK;
      }
      pinned_count += (*response)->pinned_count();
      // A prefix that is broken here goes on in no later part.
      if ((*response)->prefix_count() < count && !call.pin_all) part_call.pin_owner = {};
      return absl::OkStatus();
    });
    if (status.ok()) return;
    Fill(status, part);
    if (!call.pin_all) part_call.pin_owner = {};
  });
  return pinned_count;
}

void NodeClient::Remove(std::span<const std::string_view> keys, Instant deadline,
                        std::span<KeyResult> results) {
  InParts(keys.size(), [&](size_t offset, size_t count) {
    const std::span<KeyResult> part = results.subspan(offset, count);
    bool asked = false;
    const absl::Status status = WithLane(deadline, Retry::kNo, [&](LaneClient& lane) {
      // A second answer would not tell what the first removed.
      asked = true;
      return lane.Remove(keys.subspan(offset, count), deadline, part);
    });
    if (!asked) Fill(status, part);
  });
}

absl::Status NodeClient::UnpinOwner(std::string_view owner, Instant deadline) {
  return WithLane(deadline, Retry::kYes,
                  [&](LaneClient& lane) { return lane.UnpinOwner(owner, deadline); });
}

// ---- What people ask

absl::Status NodeClient::CheckOpen() const {
  if (!closing_.HasBeenNotified()) return absl::OkStatus();
  return absl::UnavailableError("ask node: the client is closed");
}

absl::StatusOr<std::vector<std::string>> NodeClient::List(std::string_view prefix,
                                                          size_t limit, Instant deadline) {
  if (absl::Status status = CheckOpen(); !status.ok()) return status;
  std::vector<std::string> keys;
  std::string page_token;
  while (keys.size() < limit) {
    const size_t wanted = std::min(limit - keys.size(), kMaxListPageSize);
    absl::StatusOr<NodeChannel::ListPage> page =
        channel_->List(prefix, wanted, page_token, deadline);
    if (!page.ok()) return page.status();
    std::move(page->keys.begin(), page->keys.end(), std::back_inserter(keys));
    page_token = std::move(page->next_page_token);
    if (page_token.empty()) break;
  }
  if (keys.size() > limit) keys.resize(limit);
  return keys;
}

absl::Status NodeClient::Ping(Instant deadline) {
  if (absl::Status status = CheckOpen(); !status.ok()) return status;
  if (absl::Status status = channel_->Ping(deadline); !status.ok()) return status;
  // A node that answers while this client could only miss is no use to its caller yet.
  if (pool_.serving()) return absl::OkStatus();
  return absl::UnavailableError("ping node: it answers, but there is no session with it");
}

absl::StatusOr<std::map<std::string, double>> NodeClient::Stats(Instant deadline) {
  if (absl::Status status = CheckOpen(); !status.ok()) return status;
  return channel_->Stats(deadline);
}

}  // namespace kvasir
