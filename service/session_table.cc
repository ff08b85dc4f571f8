#include "service/session_table.h"

#include <algorithm>

#include "absl/container/btree_map.h"
#include "base/random.h"
#include "base/rules.h"
#include "base/status_reason.h"
#include "fmt/core.h"

namespace kvasir {

using absl::MutexLock;

struct SessionTable::Lane {
  ServerTransport* transport = nullptr;
  size_t calls = 0;  // inside now
  bool ended = false;
  bool writes_cut = false;
};

// All of it is guarded by the table's mu_, but the constants and `ops`.
struct SessionTable::Session {
  SessionId id;
  uint64_t number = 0;  // in the order of opening
  std::string client_name;
  uint32_t pid = 0;
  Instant opened;
  Instant last_sign;
  size_t calls = 0;  // inside now
  bool ended = false;
  bool reported = false;
  absl::btree_map<LaneId, Lane> lanes;
  PutOps ops;
};

SessionTable::Call::Call(Call&& other) noexcept
    : table_(other.table_),
      session_(std::exchange(other.session_, nullptr)),
      lane_(other.lane_),
      transport_(other.transport_),
      writes_cut_(other.writes_cut_) {}

SessionTable::Call::~Call() {
  if (session_ != nullptr) table_->Leave(session_, lane_);
}

SessionId SessionTable::Call::session() const { return session_->id; }
PutOps* SessionTable::Call::ops() const { return &session_->ops; }

SessionTable::SessionTable(Options options) : options_(std::move(options)) {}
SessionTable::~SessionTable() = default;

absl::StatusOr<SessionId> SessionTable::Open(std::string client_name, uint32_t pid,
                                             Instant now) {
  auto session = std::make_unique<Session>();
  session->id = {SecureRandom64(), SecureRandom64()};
  session->client_name = std::move(client_name);
  session->pid = pid;
  session->opened = session->last_sign = now;
  MutexLock lock(&mu_);
  if (sessions_.size() >= options_.sessions_max) {
    return WithReason(
        absl::ResourceExhaustedError(fmt::format("open session: {} are open, limit {}",
                                                 sessions_.size(), options_.sessions_max)),
        kReasonLimit, options_.silence);
  }
  session->number = ++last_session_;
  const SessionId id = session->id;
  sessions_.emplace(id, std::move(session));
  return id;
}

// S1: a session that is not live now is not found, whatever it asks for.
SessionTable::Session* SessionTable::FindLiveLocked(SessionId session) const {
  const auto it = sessions_.find(session);
  if (it == sessions_.end() || (rules::kS1 && it->second->ended)) return nullptr;
  return it->second.get();
}

absl::StatusOr<SessionTable::Call> SessionTable::EnterLocked(SessionId session, Instant now) {
  Session* const found = FindLiveLocked(session);
  if (found == nullptr) {
    return WithReason(absl::UnauthenticatedError("the session is not live; open another"),
                      kReasonSessionUnknown);
  }
  found->last_sign = std::max(found->last_sign, now);
  ++found->calls;
  return Call(this, found);
}

absl::StatusOr<SessionTable::Call> SessionTable::Enter(SessionId session, Instant now) {
  MutexLock lock(&mu_);
  return EnterLocked(session, now);
}

absl::StatusOr<SessionTable::Call> SessionTable::Enter(SessionId session, LaneId lane,
                                                       Instant now) {
  MutexLock lock(&mu_);
  Session* const found = FindLiveLocked(session);
  if (found == nullptr) return EnterLocked(session, now).status();
  const auto it = found->lanes.find(lane);
  if (it == found->lanes.end() || it->second.ended) {
    return WithReason(
        absl::NotFoundError(fmt::format("the session has no lane {}", uint64_t(lane))),
        kReasonLaneUnknown);
  }
  absl::StatusOr<Call> call = EnterLocked(session, now);
  ++it->second.calls;
  call->lane_ = lane;
  call->transport_ = it->second.transport;
  call->writes_cut_ = it->second.writes_cut;
  return call;
}

void SessionTable::Leave(Session* session, LaneId lane) {
  std::optional<Ended> ended;
  {
    MutexLock lock(&mu_);
    --session->calls;
    if (lane != LaneId{}) --session->lanes.find(lane)->second.calls;
    ended = session->ended ? RetireLocked(session) : RetireLaneLocked(session, lane);
  }
  Report(ended);
}

// Takes out a lane that ended, once no call is in it.
std::optional<SessionTable::Ended> SessionTable::RetireLaneLocked(Session* session,
                                                                  LaneId lane) {
  const auto it = session->lanes.find(lane);
  if (it == session->lanes.end() || !it->second.ended || it->second.calls > 0) {
    return std::nullopt;
  }
  Ended ended{session->id, lane, {it->second.transport}};
  session->lanes.erase(it);
  return ended;
}

// Takes out a session that ended, once no call is in it.
std::optional<SessionTable::Ended> SessionTable::RetireLocked(Session* session) {
  if (!session->ended || session->reported || session->calls > 0) return std::nullopt;
  session->reported = true;
  Ended ended{session->id, LaneId{}, {}};
  for (const auto& [id, lane] : session->lanes) {
    auto& transports = ended.transports;
    if (std::find(transports.begin(), transports.end(), lane.transport) == transports.end()) {
      transports.push_back(lane.transport);
    }
  }
  if (rules::kS1) sessions_.erase(ended.session);
  return ended;
}

void SessionTable::Report(const std::optional<Ended>& ended) {
  if (ended.has_value() && options_.on_ended) options_.on_ended(*ended);
}

absl::StatusOr<LaneId> SessionTable::AddLane(const Call& call, ServerTransport* transport) {
  MutexLock lock(&mu_);
  auto& lanes = call.session_->lanes;
  if (lanes.size() >= kMaxLanesPerSession) {
    return WithReason(
        absl::ResourceExhaustedError(fmt::format("open lane: the session has {}, limit {}",
                                                 lanes.size(), kMaxLanesPerSession)),
        kReasonLimit);
  }
  const LaneId lane{++last_lane_};
  lanes[lane].transport = transport;
  return lane;
}

void SessionTable::ForgetLane(const Call& call, LaneId lane) {
  MutexLock lock(&mu_);
  call.session_->lanes.erase(lane);
}

ServerTransport* SessionTable::CutWrites(SessionId session, LaneId lane) {
  MutexLock lock(&mu_);
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return nullptr;
  const auto it = found->second->lanes.find(lane);
  if (it == found->second->lanes.end()) return nullptr;
  it->second.writes_cut = true;
  return it->second.transport;
}

void SessionTable::EndLane(SessionId session, LaneId lane) {
  std::optional<Ended> ended;
  {
    MutexLock lock(&mu_);
    Session* const found = FindLiveLocked(session);
    if (found == nullptr) return;  // The session's end is its lanes' end.
    const auto it = found->lanes.find(lane);
    if (it == found->lanes.end()) return;
    it->second.ended = true;
    ended = RetireLaneLocked(found, lane);
  }
  Report(ended);
}

void SessionTable::EndSession(SessionId session) {
  std::optional<Ended> ended;
  {
    MutexLock lock(&mu_);
    const auto it = sessions_.find(session);
    if (it == sessions_.end()) return;
    it->second->ended = true;
    ended = RetireLocked(it->second.get());
  }
  Report(ended);
}

size_t SessionTable::EndSilent(Instant now) {
  std::vector<std::pair<uint64_t, SessionId>> silent;
  {
    MutexLock lock(&mu_);
    for (const auto& [id, session] : sessions_) {
      if (session->ended || now - session->last_sign <= options_.silence) continue;
      session->ended = true;
      silent.emplace_back(session->number, id);
    }
  }
  // Not in the order of a hash table: a simulation must run the same from one seed.
  std::sort(silent.begin(), silent.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [number, id] : silent) EndSession(id);
  return silent.size();
}

std::vector<SessionTable::View> SessionTable::sessions() const {
  std::vector<std::pair<uint64_t, View>> numbered;
  {
    MutexLock lock(&mu_);
    for (const auto& [id, session] : sessions_) {
      if (session->ended) continue;
      numbered.emplace_back(session->number,
                            View{id, session->client_name, session->pid,
                                 session->lanes.size(), session->opened, session->last_sign});
    }
  }
  std::sort(numbered.begin(), numbered.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<View> views;
  for (auto& [number, view] : numbered) views.push_back(std::move(view));
  return views;
}

SessionTable::Counts SessionTable::counts() const {
  Counts counts;
  MutexLock lock(&mu_);
  for (const auto& [id, session] : sessions_) {
    if (session->ended) continue;
    ++counts.sessions;
    counts.lanes += session->lanes.size();
  }
  return counts;
}

}  // namespace kvasir
