#include "tests/simulation/fabric.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"

namespace kvasir::sim {
namespace {

uint64_t SizeOf(const Transfer& transfer) {
  uint64_t size = 0;
  for (const std::span<std::byte> slice : transfer.local) size += slice.size();
  return size;
}

std::string Gather(const Transfer& transfer) {
  std::string bytes;
  for (const std::span<std::byte> slice : transfer.local) {
    bytes.append(reinterpret_cast<const char*>(slice.data()), slice.size());
  }
  return bytes;
}

uint64_t ChecksumOf(uint64_t seed, std::string_view bytes) {
  return BlockChecksum(seed, std::as_bytes(std::span(bytes.data(), bytes.size())));
}

}  // namespace

void Scatter(const Transfer& transfer, uint64_t from, std::string_view bytes) {
  for (const std::span<std::byte> slice : transfer.local) {
    if (from >= slice.size()) {
      from -= slice.size();
      continue;
    }
    const size_t n = std::min<size_t>(slice.size() - from, bytes.size());
    std::memcpy(slice.data() + from, bytes.data(), n);
    bytes.remove_prefix(n);
    if (bytes.empty()) return;
    from = 0;
  }
}

// ---- The two halves, as the contract names them

class FabricLane final : public Lane {
 public:
  FabricLane(Fabric* fabric, Fabric::ClientQp client, Fabric::ServerQp server)
      : fabric_(fabric), client_(client), server_(server) {}
  ~FabricLane() override {
    Instant& dead_from = fabric_->clients_.at(client_).dead_from;
    dead_from = std::min(dead_from, fabric_->world_.scheduler->Now());
  }
  void Run(std::span<Transfer> batch, Instant deadline) override {
    fabric_->Run(client_, server_, batch, deadline);
  }
  bool usable() const override {
    return fabric_->clients_.at(client_).dead_from == Instant::max();
  }

 private:
  Fabric* const fabric_;
  const Fabric::ClientQp client_;
  const Fabric::ServerQp server_;
};

class FabricClient final : public ClientTransport {
 public:
  FabricClient(Fabric* fabric, Process* process) : fabric_(fabric), process_(process) {}
  TransportKind kind() const override {
    return fabric_->world_.weather->gated ? TransportKind::kTcp : TransportKind::kRdma;
  }
  absl::StatusOr<std::unique_ptr<MemoryRegion>> Register(std::span<std::byte>) override {
    return absl::UnimplementedError("register memory: a simulated lane takes any");
  }
  absl::StatusOr<std::unique_ptr<Lane>> Connect(Rendezvous rendezvous, Instant) override {
    const Fabric::ClientQp client{++fabric_->last_id_};
    fabric_->clients_[client] = {.process = process_};
    const absl::StatusOr<std::string> offer =
        rendezvous(std::to_string(static_cast<uint64_t>(client)));
    if (!offer.ok()) return offer.status();
    uint64_t server = 0;
    KV_CHECK(absl::SimpleAtoi(*offer, &server));
    return std::make_unique<FabricLane>(fabric_, client, Fabric::ServerQp{server});
  }

 private:
  Fabric* const fabric_;
  Process* const process_;
};

class FabricServer final : public ServerTransport {
 public:
  explicit FabricServer(Fabric* fabric) : fabric_(fabric) {}
  ~FabricServer() override { fabric_->EndServer(); }
  TransportKind kind() const override {
    return fabric_->world_.weather->gated ? TransportKind::kTcp : TransportKind::kRdma;
  }
  absl::Status Export(const Region& region) override {
    fabric_->region_ = &region;
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> Accept(SessionId session, LaneId lane,
                                     std::string_view hello) override {
    uint64_t client = 0;
    KV_CHECK(absl::SimpleAtoi(ToAbsl(hello), &client));
    const Fabric::ServerQp qp = fabric_->Accept(session, lane, Fabric::ClientQp{client});
    return std::to_string(static_cast<uint64_t>(qp));
  }
  void Fence(const FenceTarget& target, absl::AnyInvocable<void() &&> done) override {
    fabric_->Fence(target, std::move(done));
  }
  bool can_push() const override { return fabric_->world_.weather->gated; }
  bool Push(SessionId session, LaneId lane, std::span<PushItem> items) override {
    return fabric_->Push(session, lane, items);
  }
  TransportStats stats() const override { return {.lanes = fabric_->servers_.size()}; }

 private:
  Fabric* const fabric_;
};

std::unique_ptr<ServerTransport> Fabric::NewServer(Gate* gate) {
  KV_CHECK(servers_.empty() && fences_.empty());
  gate_ = gate;
  return std::make_unique<FabricServer>(this);
}

std::unique_ptr<ClientTransport> Fabric::NewClient(Process* process) {
  return std::make_unique<FabricClient>(this, process);
}

void Fabric::EndServer() {
  servers_.clear();
  fences_.clear();
  gate_ = nullptr;
}

void Fabric::Cut(const Process* process) {
  for (auto& [qp, end] : clients_) {
    if (end.process == process) {
      end.dead_from = std::min(end.dead_from, world_.scheduler->Now());
    }
  }
}

bool Fabric::CanRead(SessionId session, LaneId lane) const {
  return std::any_of(servers_.begin(), servers_.end(), [&](const auto& entry) {
    const ServerEnd& end = entry.second;
    return end.session == session && end.lane == lane && end.reads;
  });
}

// ---- A batch at the client

void Fabric::Preempt() {
  if (!world_.dice->Chance(world_.weather->preempted)) return;
  world_.scheduler->Sleep(
      world_.dice->Between(BootClock::duration(0), world_.weather->preempted_max));
}

void Fabric::Run(ClientQp client, ServerQp server, std::span<Transfer> batch,
                 Instant deadline) {
  ClientEnd& end = clients_.at(client);
  Preempt();  // Between the caller's look at the clock and the first packet.
  const RunId id{++last_id_};
  RunState& state = runs_[id];
  state = {.client = client,
           .batch = batch,
           .packets_left = std::vector<size_t>(batch.size()),
           .transfers_left = batch.size(),
           .ticket = world_.scheduler->NewTicket()};
  for (Transfer& transfer : batch) {
    const bool skipped = transfer.token.pushed && transfer.local.empty();
    KV_CHECK(skipped || SizeOf(transfer) == transfer.token.extent.size_bytes);
    transfer.status = absl::UnknownError("under way");
  }
  const Instant until = end.process->WorldTime(deadline);
  const bool alive = end.dead_from == Instant::max() && !end.process->killed();
  if (alive) {
    const bool slow_wire = world_.dice->Chance(world_.weather->packet_slow);
    Post(state, {.from_qp = client, .to_qp = server, .run = id},
         std::chrono::microseconds(slow_wire ? 1'000 : 1));
    world_.scheduler->Park(state.ticket, until);
  }
  Preempt();  // Between the last packet and the look at the completions.
  const bool lost = !alive || state.cut || end.process->killed();
  for (Transfer& transfer : batch) {
    if (transfer.status.ok() && transfer.want_checksum) {
      transfer.checksum = ChecksumOf(transfer.checksum_seed, Gather(transfer));
    }
    if (!absl::IsUnknown(transfer.status)) continue;
    transfer.status = lost ? absl::UnavailableError("run batch: the peer is gone")
                           : absl::DeadlineExceededError("run batch: too late");
    end.dead_from = std::min(end.dead_from, world_.scheduler->Now());
  }
  runs_.erase(id);
}

void Fabric::Post(const RunState& state, const Packet& prototype,
                  BootClock::duration gap) {
  RunState& run = runs_.at(prototype.run);
  Instant sent = world_.scheduler->Now();
  for (size_t t = 0; t < state.batch.size(); ++t) {
    const Transfer& transfer = state.batch[t];
    if (transfer.token.pushed) {
      TakePushed(&run, &clients_.at(prototype.from_qp), t);
      continue;
    }
    const bool write = transfer.token.access == Access::kWrite;
    const std::string bytes = write ? Gather(transfer) : std::string();
    const uint64_t total = transfer.token.extent.size_bytes;
    for (uint64_t from = 0; from < total; from += world_.weather->packet_bytes) {
      Packet packet = prototype;
      packet.transfer = t;
      packet.token = transfer.token;
      packet.from = from;
      packet.size_bytes = std::min<uint64_t>(world_.weather->packet_bytes, total - from);
      if (write) packet.bytes = bytes.substr(from, packet.size_bytes);
      packet.sent = sent;
      sent += gap;
      // A sender that heard no answer sends again, and is done when both have arrived.
      const bool twice = !world_.weather->gated &&
                         world_.dice->Chance(world_.weather->packet_duplicated);
      run.packets_left[t] += twice ? 2 : 1;
      if (twice) PostPacket(packet);
      PostPacket(std::move(packet));
    }
  }
}

void Fabric::PostPacket(Packet packet) {
  if (world_.dice->Chance(world_.weather->packet_lost)) {
    world_.trace->Say("packet lost: lease {} from {}",
                      static_cast<uint64_t>(packet.token.lease), packet.from);
    return;
  }
  if (world_.dice->Chance(world_.weather->packet_corrupted)) Damage(&packet.bytes);
  Instant arrival = packet.sent + world_.weather->PacketDelay(world_.dice);
  const auto end = servers_.find(packet.to_qp);
  if (world_.weather->gated && end != servers_.end()) {
    arrival = std::max(arrival, end->second.last_arrival + BootClock::duration(1));
    end->second.last_arrival = arrival;
  }
  world_.scheduler->At(arrival, [this, packet = std::move(packet)]() mutable {
    Arrive(std::move(packet));
  });
}

void Fabric::Damage(std::string* bytes) {
  if (bytes->empty()) return;
  const uint64_t bit = world_.dice->Between(0, bytes->size() * 8 - 1);
  (*bytes)[bit / 8] = static_cast<char>((*bytes)[bit / 8] ^ (1 << (bit % 8)));
  world_.trace->Say("packet damaged");
}

// ---- A packet at the server

void Fabric::Arrive(Packet packet) {
  // What was not sent when the sender's queue pair went is never sent.
  if (clients_.at(packet.from_qp).dead_from < packet.sent) return;
  const bool write = packet.token.access == Access::kWrite;
  const auto it = servers_.find(packet.to_qp);
  const bool there =
      it != servers_.end() && (write ? it->second.writes : it->second.reads);
  if (there) {
    write ? ArriveWrite(std::move(packet), &it->second)
          : ArriveRead(std::move(packet), &it->second);
    return;
  }
  ++counters_.cut_off;
  world_.trace->Say("packet of lease {} finds no queue pair",
                    static_cast<uint64_t>(packet.token.lease));
  // Some senders are told, others have to run into their deadline.
  if (!world_.dice->Chance(500'000)) return;
  world_.scheduler->After(world_.weather->PacketDelay(world_.dice),
                          [this, run = packet.run] { CutRun(run); });
}

void Fabric::ArriveWrite(Packet packet, ServerEnd* end) {
  const absl::Status status = Land(packet, end);
  const bool awaited = runs_.contains(packet.run);
  ++(status.ok() ? counters_.landed : counters_.refused);
  if (status.ok() && !awaited) {
    ++counters_.landed_late;
    world_.trace->Say("late packet of lease {} landed from {}",
                      static_cast<uint64_t>(packet.token.lease), packet.from);
  }
  if (!awaited) return;
  world_.scheduler->After(world_.weather->PacketDelay(world_.dice),
                          [this, run = packet.run, transfer = packet.transfer, status] {
                            Complete(run, transfer, status);
                          });
}

absl::Status Fabric::Land(const Packet& packet, ServerEnd* end) {
  const auto land = [&](std::span<std::byte> to) {
    world_.oracle->OnWriteLands(packet.token, packet.from, packet.size_bytes);
    std::memcpy(to.data(), packet.bytes.data(), packet.size_bytes);
    return absl::OkStatus();
  };
  if (!world_.weather->gated) {
    Extent extent = packet.token.extent;
    extent.offset_bytes += packet.from;
    extent.size_bytes = packet.size_bytes;
    return land(region_->Slice(extent));
  }
  const absl::Status status =
      gate_->Admit(end->session, end->lane, packet.token.sealed, Access::kWrite,
                   packet.from, packet.size_bytes, land);
  if (status.ok()) Receive(packet, end);
  return status;
}

// A server that copies by itself tells what it saw once it has seen it all.
void Fabric::Receive(const Packet& packet, ServerEnd* end) {
  std::string& received = end->received[static_cast<uint64_t>(packet.token.lease)];
  if (received.size() != packet.from) return;  // a packet before it was lost
  received += packet.bytes;
  if (received.size() < packet.token.extent.size_bytes) return;
  const uint64_t seed = gate_->ChecksumSeedOf(packet.token.lease);
  gate_->SetObservedChecksum(packet.token.lease, ChecksumOf(seed, received));
  end->received.erase(static_cast<uint64_t>(packet.token.lease));
}

void Fabric::ArriveRead(Packet packet, ServerEnd* end) {
  const absl::Status status = Fetch(&packet, end);
  const auto back = world_.scheduler->Now() + world_.weather->PacketDelay(world_.dice);
  if (!status.ok()) {
    ++counters_.refused;
    world_.scheduler->At(back, [this, run = packet.run, transfer = packet.transfer,
                                status] { Complete(run, transfer, status); });
    return;
  }
  if (world_.dice->Chance(world_.weather->packet_corrupted)) Damage(&packet.bytes);
  world_.scheduler->At(back, [this, packet = std::move(packet)] { Deliver(packet); });
}

absl::Status Fabric::Fetch(Packet* packet, ServerEnd* end) {
  const auto fetch = [&](std::span<std::byte> bytes) {
    world_.oracle->OnReadFetches(packet->token, packet->from, packet->size_bytes);
    packet->bytes.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return absl::OkStatus();
  };
  if (world_.weather->gated) {
    return gate_->Admit(end->session, end->lane, packet->token.sealed, Access::kRead,
                        packet->from, packet->size_bytes, fetch);
  }
  Extent extent = packet->token.extent;
  extent.offset_bytes += packet->from;
  extent.size_bytes = packet->size_bytes;
  return fetch(region_->Slice(extent));
}

// ---- Back at the client

void Fabric::Deliver(const Packet& packet) {
  const auto it = runs_.find(packet.run);
  if (it == runs_.end()) return;
  if (clients_.at(packet.from_qp).dead_from != Instant::max()) return;
  Scatter(it->second.batch[packet.transfer], packet.from, packet.bytes);
  Complete(packet.run, packet.transfer, absl::OkStatus());
}

void Fabric::Complete(RunId run, size_t transfer, const absl::Status& status) {
  const auto it = runs_.find(run);
  if (it == runs_.end()) return;
  if (status.ok() && --it->second.packets_left[transfer] > 0) return;
  Finish(&it->second, transfer, status);
}

void Fabric::Finish(RunState* run, size_t transfer, absl::Status status) {
  absl::Status& result = run->batch[transfer].status;
  if (!absl::IsUnknown(result)) return;
  result = std::move(status);
  if (--run->transfers_left == 0) world_.scheduler->Notify(run->ticket);
}

void Fabric::CutRun(RunId run) {
  const auto it = runs_.find(run);
  if (it == runs_.end()) return;
  it->second.cut = true;
  world_.scheduler->Notify(it->second.ticket);
}

// ---- The server's queue pairs

Fabric::ServerQp Fabric::Accept(SessionId session, LaneId lane, ClientQp client) {
  const ServerQp qp{++last_id_};
  servers_[qp] = {.session = session, .lane = lane, .client = client};
  return qp;
}

void Fabric::Fence(const FenceTarget& target, absl::AnyInvocable<void() &&> done) {
  std::vector<ServerQp> targets;
  for (const auto& [qp, end] : servers_) {
    if (end.session != target.session) continue;
    if (target.lane != LaneId{} && end.lane != target.lane) continue;
    if (target.scope == FenceScope::kWrites && !end.writes) continue;
    targets.push_back(qp);
  }
  ++counters_.fences;
  if (targets.empty()) {
    std::move(done)();
    return;
  }
  const uint64_t fence = ++last_id_;
  fences_[fence] = {.lanes_left = targets.size(), .done = std::move(done)};
  for (const ServerQp qp : targets) {
    // From the lane's own dice: the core may fence lanes in any order.
    ServerEnd& end = servers_.at(qp);
    Dice dice(static_cast<uint64_t>(qp) * 1'000 + ++end.fences);
    const auto delay =
        dice.Between(BootClock::duration(1'000), world_.weather->fence_max);
    world_.scheduler->After(delay, [this, qp, fence, scope = target.scope] {
      if (!fences_.contains(fence)) return;
      FenceNow(qp, scope);
      ReportFence(fence);
    });
  }
}

void Fabric::FenceNow(ServerQp qp, FenceScope scope) {
  const auto it = servers_.find(qp);
  if (it == servers_.end()) return;
  world_.trace->Say("lane {} fenced{}", static_cast<uint64_t>(it->second.lane),
                    scope == FenceScope::kWrites ? " for writes" : "");
  it->second.writes = false;
  // A socket has no halves.
  if (world_.weather->gated) it->second.reads = false;
  if (scope == FenceScope::kAll) servers_.erase(it);
}

void Fabric::ReportFence(uint64_t fence) {
  FenceUnderWay& under_way = fences_.at(fence);
  if (--under_way.lanes_left > 0) return;
  // The kernel has destroyed the queue pair; a paused server learns it later.
  const Instant when = std::max(world_.scheduler->Now(), world_.server->runs_from());
  world_.scheduler->At(when, [this, fence] {
    auto node = fences_.extract(fence);
    if (!node.empty()) std::move(node.mapped().done)();
  });
}

}  // namespace kvasir::sim
