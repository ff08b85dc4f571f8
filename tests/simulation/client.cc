#include "tests/simulation/client.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "base/bytes.h"
#include "base/status_reason.h"
#include "tests/simulation/token_put.h"

namespace kvasir::sim {
namespace {

using std::chrono::milliseconds;

std::span<std::byte> BytesOf(std::string* text) {
  return std::as_writable_bytes(std::span(text->data(), text->size()));
}

}  // namespace

Client::Client(const World& world, Process* process)
    : world_(world),
      process_(process),
      channel_(world.network->NewChannel(process)),
      transport_(world.fabric->NewClient(process)) {}

void Client::Start() {
  lanes_running_ = world_.dice->Between(1, world_.weather->lanes_max);
  for (size_t i = 0; i < lanes_running_; ++i) {
    world_.scheduler->Spawn(process_, [this] { RunLane(); });
  }
}

void Client::RunLane() {
  std::unique_ptr<LaneClient> lane;
  uint64_t lane_session = 0;
  for (size_t op = 0; op < world_.weather->ops && !process_->killed(); ++op) {
    world_.scheduler->Sleep(world_.dice->Between(milliseconds(0), milliseconds(40)));
    Misfortune();
    const bool stale = lane_session != session_number_ || !has_session_;
    if (lane != nullptr && (stale || !lane->usable())) lane.reset();
    if (lane == nullptr) {
      lane = OpenLane();
      lane_session = session_number_;
    }
    if (lane == nullptr) {
      world_.scheduler->Sleep(milliseconds(50));
      continue;
    }
    Operate(lane.get());
  }
  lane.reset();
  if (--lanes_running_ == 0) Goodbye();
}

// What happens to a process between two operations.
void Client::Misfortune() {
  if (process_->killed()) return;
  if (world_.dice->Chance(world_.weather->client_paused)) {
    const auto time = world_.dice->Between(milliseconds(1), milliseconds(8'000));
    ++world_.counters->pauses;
    // Not now but soon, so that it strikes in the middle of things.
    world_.scheduler->After(world_.dice->Between(milliseconds(0), milliseconds(20)),
                            [this, time] {
                              world_.trace->Say("{} is paused", process_->name());
                              process_->Pause(time);
                            });
  }
  if (world_.dice->Chance(world_.weather->client_killed)) {
    ++world_.counters->kills;
    world_.scheduler->After(world_.dice->Between(milliseconds(0), milliseconds(20)),
                            [this] {
                              world_.trace->Say("{} is killed", process_->name());
                              world_.fabric->Cut(process_);
                              process_->Kill();
                            });
  }
}

// ---- Session and lanes

bool Client::EnsureSession() {
  while (opening_ && !process_->killed()) world_.scheduler->Sleep(milliseconds(5));
  if (has_session_ || process_->killed()) return has_session_;
  opening_ = true;
  v1::OpenSessionRequest request;
  request.set_client_name(process_->name());
  const absl::StatusOr<v1::OpenSessionResponse> opened =
      channel_->OpenSession(request, process_->Now() + milliseconds(200));
  opening_ = false;
  if (!opened.ok() || process_->killed()) return false;
  session_ = *SessionId::FromBytes(opened->session());
  has_session_ = true;
  ++session_number_;
  ++world_.counters->sessions;
  world_.trace->Say("{} has session {}", process_->name(), session_.ToString());
  world_.scheduler->Spawn(process_,
                          [this, session = session_, number = session_number_,
                           interval = milliseconds(opened->heartbeat_interval_ms())] {
                            RunHeartbeat(session, number, interval);
                          });
  return true;
}

void Client::LoseSession(uint64_t number) {
  if (number == session_number_) has_session_ = false;
}

void Client::RunHeartbeat(SessionId session, uint64_t number,
                          BootClock::duration interval) {
  const std::unique_ptr<HeartbeatStream> heartbeat = channel_->OpenHeartbeat(session);
  while (has_session_ && number == session_number_ && lanes_running_ > 0 &&
         !process_->killed()) {
    if (!heartbeat->Beat(process_->Now() + 2 * interval).ok()) break;
    world_.scheduler->Sleep(interval);
  }
  if (lanes_running_ > 0) LoseSession(number);
}

std::unique_ptr<LaneClient> Client::OpenLane() {
  if (!EnsureSession()) return nullptr;
  const uint64_t number = session_number_;
  absl::StatusOr<std::unique_ptr<LaneClient>> lane =
      LaneClient::Open({}, session_, channel_->OpenStream(), transport_.get(), process_,
                       process_->Now() + milliseconds(300));
  if (!lane.ok()) {
    Judge(lane.status(), number);
    return nullptr;
  }
  ++world_.counters->lanes;
  return *std::move(lane);
}

void Client::Judge(const absl::Status& status, uint64_t session_number) {
  if (ReasonOf(status) == kReasonSessionUnknown) LoseSession(session_number);
}

void Client::Goodbye() {
  if (!has_session_ || process_->killed() || world_.dice->Chance(300'000)) return;
  channel_->CloseSession(session_, process_->Now() + milliseconds(200)).IgnoreError();
}

// ---- Operations

size_t Client::DrawBytes() {
  return world_.dice->Between(Values::kMinBytes, world_.weather->block_bytes_max);
}

Instant Client::DrawDeadline() {
  return process_->Now() +
         world_.dice->Between(milliseconds(1), world_.weather->op_timeout_max);
}

Durability Client::DrawDurability() {
  if (!world_.weather->disk) return Durability::kNone;
  if (!world_.dice->Chance(world_.weather->durable)) return Durability::kNone;
  return world_.dice->Chance(500'000) ? Durability::kProcess : Durability::kPower;
}

Client::Batch Client::DrawBatch() {
  std::set<std::string> keys;
  const size_t wanted = world_.dice->Between(1, 4);
  for (size_t i = 0; i < wanted; ++i) {
    keys.insert("key" + std::to_string(world_.dice->Between(1, world_.weather->keys)));
  }
  Batch batch;
  batch.keys.assign(keys.begin(), keys.end());
  batch.views.assign(batch.keys.begin(), batch.keys.end());
  batch.results.resize(batch.keys.size());
  return batch;
}

void Client::Operate(LaneClient* lane) {
  const uint64_t number = session_number_;
  const uint64_t draw = world_.dice->Between(1, 100);
  absl::Status status;
  if (draw <= 36) {
    status = Put(lane);
  } else if (draw <= 40) {
    status = PutByHand();
  } else if (draw <= 65) {
    status = GetIntoSlices(lane);
  } else if (draw <= 80) {
    status = GetIntoSink(lane);
  } else if (draw <= 90) {
    status = Lookup(lane);
  } else if (draw <= 95) {
    status = Remove(lane);
  } else if (draw <= 97) {
    status = lane->UnpinOwner(process_->name(), DrawDeadline());
  } else {
    status = lane->FlushReleases(DrawDeadline());
  }
  Judge(status, number);
}

absl::Status Client::Put(LaneClient* lane) {
  Batch batch = DrawBatch();
  std::vector<uint64_t> versions;
  std::vector<std::string> payloads;
  for (const std::string& key : batch.keys) {
    versions.push_back(world_.values->Make(key, DrawBytes()));
    payloads.push_back(world_.values->Bytes(versions.back()));
  }
  // Two slices each, to have scatter lists.
  std::vector<std::array<std::span<const std::byte>, 2>> slices;
  std::vector<PutItem> items;
  slices.reserve(batch.keys.size());
  for (size_t i = 0; i < batch.keys.size(); ++i) {
    const std::span<const std::byte> whole = BytesOf(&payloads[i]);
    const size_t cut = world_.dice->Between(1, whole.size() - 1);
    slices.push_back({whole.subspan(0, cut), whole.subspan(cut)});
    items.push_back({.key = batch.keys[i], .payload = slices.back(), .attributes = "a"});
  }
  const LaneClient::PutCall call{.op_id = ++last_op_id_,
                                 .replace = world_.dice->Chance(500'000),
                                 .durability = DrawDurability(),
                                 .deadline = DrawDeadline()};
  absl::Status status = lane->Put(items, call, batch.results);
  const bool lost = !lane->usable() && process_->Now() < call.deadline;
  if (lost && world_.dice->Chance(500'000)) {
    status = RetryPut(items, call, batch.results);
  }
  if (process_->killed()) return status;
  for (size_t i = 0; i < items.size(); ++i) {
    ++world_.counters->puts[static_cast<size_t>(batch.results[i].outcome)];
    world_.trace->Say("{}: put {} version {}{}{}: outcome {} {}", process_->name(),
                      items[i].key, versions[i], call.replace ? ", replacing" : "",
                      call.durability != Durability::kNone ? ", durable" : "",
                      static_cast<int>(batch.results[i].outcome),
                      batch.results[i].detail);
    if (batch.results[i].outcome == Outcome::kOk) {
      world_.oracle->OnPutAcknowledged(versions[i]);
    }
  }
  return status;
}

// The same put on a lane of its own, as a client retries what a lost lane left open.
absl::Status Client::RetryPut(std::span<const PutItem> items,
                              const LaneClient::PutCall& call,
                              std::span<KeyResult> results) {
  ++world_.counters->put_retries;
  const std::unique_ptr<LaneClient> lane = OpenLane();
  if (lane == nullptr) return absl::UnavailableError("retry put: no lane");
  return lane->Put(items, call, results);
}

// On lanes of its own, so that its first one may break.
absl::Status Client::PutByHand() {
  const Batch batch = DrawBatch();
  const uint64_t version = world_.values->Make(batch.keys[0], DrawBytes());
  TokenPut put({.session = session_, .transport = transport_.get(), .clock = process_},
               {.key = batch.keys[0],
                .bytes = world_.values->Bytes(version),
                .op_id = ++last_op_id_});
  const Instant first =
      process_->Now() + world_.dice->Between(milliseconds(1), milliseconds(50));
  const absl::Status status =
      put.Run([this] { return channel_->OpenStream(); }, first, DrawDeadline());
  if (process_->killed()) return status;
  world_.trace->Say("{}: put {} version {} by hand: {}", process_->name(), batch.keys[0],
                    version, ToStd(status.message()));
  if (status.ok()) world_.oracle->OnPutAcknowledged(version);
  return status;
}

absl::Status Client::GetIntoSlices(LaneClient* lane) {
  Batch batch = DrawBatch();
  std::vector<std::string> bytes;
  std::vector<std::array<std::span<std::byte>, 2>> slices;
  std::vector<GetItem> items;
  bytes.reserve(batch.keys.size());
  slices.reserve(batch.keys.size());
  for (const std::string& key : batch.keys) {
    bytes.emplace_back(world_.oracle->SizeToExpect(key).value_or(DrawBytes()), '\0');
    const std::span<std::byte> whole = BytesOf(&bytes.back());
    const size_t cut = world_.dice->Between(0, whole.size());
    slices.push_back({whole.subspan(0, cut), whole.subspan(cut)});
    items.push_back({.key = key, .into = slices.back()});
  }
  const Instant began = world_.scheduler->Now();
  const absl::Status status =
      lane->Get(items, {.deadline = DrawDeadline()}, batch.results);
  CheckGet(batch, bytes, began);
  return status;
}

absl::Status Client::GetIntoSink(LaneClient* lane) {
  class Buffers final : public Sink {
   public:
    explicit Buffers(std::vector<std::string>* bytes) : bytes_(bytes) {}
    void Place(std::span<Landing> landings) override {
      for (Landing& landing : landings) {
        std::string& bytes = bytes_->at(landing.index);
        bytes.resize(landing.size_bytes);
        landing.local = BytesOf(&bytes);
      }
    }

   private:
    std::vector<std::string>* const bytes_;
  };
  Batch batch = DrawBatch();
  std::vector<std::string> bytes(batch.keys.size());
  Buffers sink(&bytes);
  const LaneClient::GetCall call{.unpin_owner = world_.dice->Chance(300'000)
                                                    ? std::string_view(process_->name())
                                                    : "",
                                 .deadline = DrawDeadline()};
  const Instant began = world_.scheduler->Now();
  const absl::Status status = lane->Get(batch.views, sink, call, batch.results);
  CheckGet(batch, bytes, began);
  return status;
}

void Client::CheckGet(const Batch& batch, const std::vector<std::string>& bytes,
                      Instant began) {
  if (process_->killed()) return;
  for (size_t i = 0; i < batch.keys.size(); ++i) {
    ++world_.counters->gets[static_cast<size_t>(batch.results[i].outcome)];
    world_.trace->Say("{}: get {}: outcome {} {}", process_->name(), batch.keys[i],
                      static_cast<int>(batch.results[i].outcome),
                      batch.results[i].detail);
    if (batch.results[i].outcome != Outcome::kOk) continue;
    world_.oracle->OnHit(
        batch.keys[i], std::as_bytes(std::span(bytes[i].data(), bytes[i].size())), began);
  }
}

absl::Status Client::Lookup(LaneClient* lane) {
  const Batch batch = DrawBatch();
  const bool pin = world_.dice->Chance(700'000);
  const milliseconds ttl(world_.dice->Chance(500'000) ? 3'600'000 : 500);
  const absl::StatusOr<const v1::LookupResponse*> found = lane->Lookup(
      batch.views, {.pin_owner = pin ? std::string_view(process_->name()) : "",
                    .pin_ttl = ttl,
                    .pin_all = world_.dice->Chance(500'000),
                    .promote = world_.dice->Chance(500'000),
                    .deadline = DrawDeadline()});
  if (!found.ok()) return found.status();
  world_.counters->pins += (*found)->pinned_count();
  return absl::OkStatus();
}

absl::Status Client::Remove(LaneClient* lane) {
  Batch batch = DrawBatch();
  ++world_.counters->removes;
  return lane->Remove(batch.views, DrawDeadline(), batch.results);
}

}  // namespace kvasir::sim
