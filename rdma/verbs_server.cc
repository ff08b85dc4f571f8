#include "rdma/verbs_server.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/hash/hash.h"
#include "base/log.h"
#include "rdma/verbs_queue.h"
#include "rdma/verbs_wire.h"

namespace kvasir {

absl::StatusOr<std::unique_ptr<VerbsServer>> VerbsServer::Create(const Options& options) {
  if (options.loops == 0) return absl::InvalidArgumentError("start rdma server: 0 loops");
  absl::StatusOr<std::vector<std::unique_ptr<VerbsDevice>>> rails =
      OpenVerbsRails(options.devices);
  if (!rails.ok()) return rails.status();
  std::vector<std::unique_ptr<VerbsLoop>> loops;
  while (loops.size() < options.loops) {
    absl::StatusOr<std::unique_ptr<VerbsLoop>> loop =
        VerbsLoop::Make(*rails, /*watches_devices=*/loops.empty());
    if (!loop.ok()) return loop.status();
    loops.push_back(*std::move(loop));
  }
  return std::unique_ptr<VerbsServer>(
      new VerbsServer(options, *std::move(rails), std::move(loops)));
}

VerbsServer::VerbsServer(const Options& options,
                         std::vector<std::unique_ptr<VerbsDevice>> rails,
                         std::vector<std::unique_ptr<VerbsLoop>> loops)
    : options_(options),
      rails_(std::move(rails)),
      exports_(rails_),
      loops_(std::move(loops)),
      lanes_(lanes_max()) {}

// Lanes first: their queue pairs use the loops' completion queues.
VerbsServer::~VerbsServer() = default;

std::string VerbsServer::Describe() const {
  std::string text;
  for (const auto& rail : rails_) {
    text += fmt::format("{}{}", text.empty() ? "" : "; ", rail->description());
  }
  return text;
}

std::vector<VerbsPort> VerbsServer::ports() const {
  std::vector<VerbsPort> ports;
  for (const auto& rail : rails_) ports.push_back({rail->name(), rail->port()});
  return ports;
}

// All of them may be on one loop, with two queue pairs a lane.
size_t VerbsServer::lanes_max() const { return loops_[0]->queues_max() / 2; }

absl::Status VerbsServer::Export(const Region& region) {
  return exports_.Add(region, options_.registrar);
}

size_t VerbsServer::LoopOf(const SessionId& session) const {
  return absl::HashOf(session) % loops_.size();
}

absl::StatusOr<std::string> VerbsServer::Accept(SessionId session, LaneId lane,
                                                std::string_view hello) {
  const absl::StatusOr<VerbsHello> decoded = DecodeVerbsHello(hello);
  if (!decoded.ok()) return decoded.status();
  const size_t rails = std::min(decoded->rails.size(), rails_.size());
  VerbsOffer offer{.session = session, .lane = lane};
  std::vector<VerbsLaneTable::Queue> queues;
  absl::Status last;
  for (size_t i = 0; i < rails; ++i) {
    const VerbsRail& asked = decoded->rails[i];
    absl::StatusOr<VerbsRail> rail = AcceptRail(i, LoopOf(session), asked, &queues);
    if (absl::IsUnavailable(rail.status())) {
      last = rail.status();
      Log(LogLevel::kWarning,
          fmt::format("rdma: rail {} is left out: {}", i, std::string(last.message())));
      rail = VerbsRail{.mtu_bytes = asked.mtu_bytes, .reads_max = asked.reads_max};
    }
    if (!rail.ok()) return rail.status();
    offer.rails.push_back(*rail);
  }
  if (queues.empty()) return last;
  offer.regions = exports_.Offer(rails);
  absl::Status added = lanes_.Add(session, lane, std::move(queues));
  if (!added.ok()) return added;
  return EncodeVerbsOffer(offer);
}

absl::StatusOr<VerbsRail> VerbsServer::AcceptRail(
    size_t rail, size_t loop, const VerbsRail& hello,
    std::vector<VerbsLaneTable::Queue>* queues) {
  const VerbsDevice& device = *rails_[rail];
  VerbsRail offered = device.address();
  if ((offered.lid != 0) != (hello.lid != 0)) {
    return absl::FailedPreconditionError(
        fmt::format("open rdma lane: rail {} is {} here and not at the client", rail,
                    offered.lid != 0 ? "InfiniBand" : "Ethernet"));
  }
  offered.mtu_bytes = std::min(offered.mtu_bytes, hello.mtu_bytes);
  offered.reads_max = std::min(device.limits().reads_in, hello.reads_max);
  std::vector<VerbsLaneTable::Queue> made;
  for (const Access access : {Access::kRead, Access::kWrite}) {
    const bool reads = access == Access::kRead;
    const uint64_t tag = lanes_.NewTag();
    absl::StatusOr<VerbsQp> qp = MakeVerbsQueue(
        device, {.cq = loops_[loop]->cq(rail),
                 .tag = tag,
                 .with_receive = true,
                 .remote_access = reads ? IBV_ACCESS_REMOTE_READ : IBV_ACCESS_REMOTE_WRITE});
    if (!qp.ok()) return qp.status();
    VerbsPeerQueue peer{.address = hello,
                        .qp = reads ? hello.read_qp : hello.write_qp,
                        .psn = reads ? hello.read_psn : hello.write_psn,
                        .reads_max = reads ? offered.reads_max : 0};
    peer.address.mtu_bytes = offered.mtu_bytes;
    absl::Status connected = ConnectVerbsQueue(qp->get(), device, peer);
    if (!connected.ok()) return connected;
    (reads ? offered.read_qp : offered.write_qp) = (*qp)->qp_num;
    made.push_back({.access = access, .tag = tag, .qp = *std::move(qp)});
  }
  std::move(made.begin(), made.end(), std::back_inserter(*queues));
  return offered;
}

void VerbsServer::Fence(const FenceTarget& target, absl::AnyInvocable<void() &&> done) {
  std::vector<VerbsQp> queues = lanes_.Take(target);
  if (queues.empty()) return std::move(done)();
  loops_[LoopOf(target.session)]->Submit({.queues = std::move(queues), .done = std::move(done)});
}

void VerbsServer::OnGranted(Access access, uint64_t size_bytes) {
  Granted& granted = access == Access::kRead ? reads_ : writes_;
  granted.blocks.fetch_add(1, std::memory_order_relaxed);
  granted.bytes.fetch_add(size_bytes, std::memory_order_relaxed);
}

void VerbsServer::Poll(size_t loop, std::chrono::milliseconds wait_max) {
  loops_[loop]->Poll(wait_max, [this](uint64_t tag) {
    if (!lanes_.Trip(tag)) return;
    Log(LogLevel::kWarning,
        "rdma: a NIC has refused a client's request and stopped its queue pair");
  });
}

TransportStats VerbsServer::stats() const {
  const auto read = [](const std::atomic<uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  return {.lanes = lanes_.lanes(),
          .read_bytes_total = read(reads_.bytes),
          .written_bytes_total = read(writes_.bytes),
          .read_ops_total = read(reads_.blocks),
          .written_ops_total = read(writes_.blocks),
          .refused_frames_total = lanes_.refusals()};
}

}  // namespace kvasir
