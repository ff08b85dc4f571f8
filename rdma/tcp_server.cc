#include "rdma/tcp_server.h"

#include <fmt/core.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/limits.h"
#include "base/random.h"
#include "rdma/tcp_offer.h"

namespace kvasir {
namespace {

// Up to here the thread that grants also sends: waking a loop costs more than the copy.
constexpr uint64_t kPushHereBytesMax = 256 * kKiB;
constexpr uint64_t kPushHereBudgetBytes = kMiB;

bool IsEveryInterface(const std::string& host) {
  return host.empty() || host == "0.0.0.0" || host == "::";
}

absl::StatusOr<HostPort> Advertised(const std::string& advertise, HostPort listening) {
  if (!advertise.empty()) {
    absl::StatusOr<HostPort> address = ParseHostPort(advertise);
    if (address.ok() && address->port == 0) address->port = listening.port;
    return address;
  }
  if (IsEveryInterface(listening.host)) listening.host.clear();
  return listening;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TcpServer>> TcpServer::Create(const Options& options,
                                                             Gate* gate, const Clock* clock) {
  if (options.loops == 0) return absl::InvalidArgumentError("start tcp server: 0 loops");
  const absl::StatusOr<HostPort> wanted = ParseHostPort(options.listen);
  if (!wanted.ok()) return wanted.status();
  absl::StatusOr<UniqueFd> listener = ListenTcp(*wanted, options.socket);
  if (!listener.ok()) return listener.status();
  const absl::StatusOr<HostPort> listening = LocalAddress(listener->get());
  if (!listening.ok()) return listening.status();
  const absl::StatusOr<HostPort> advertised = Advertised(options.advertise, *listening);
  if (!advertised.ok()) return advertised.status();
  std::unique_ptr<TcpServer> server(new TcpServer(
      options, gate, clock, *std::move(listener), *listening, *advertised));
  if (absl::Status started = server->Start(); !started.ok()) return started;
  return server;
}

TcpServer::TcpServer(const Options& options, Gate* gate, const Clock* clock,
                     UniqueFd listener, const HostPort& listening,
                     const HostPort& advertised)
    : options_(options),
      gate_(gate),
      clock_(clock),
      listener_(std::move(listener)),
      listening_(listening),
      advertised_(advertised) {}

absl::Status TcpServer::Start() {
  const TcpConnection::Context context = {
      .gate = gate_, .lanes = &lanes_, .counters = &counters_};
  while (loops_.size() < options_.loops) {
    absl::StatusOr<std::unique_ptr<TcpLoop>> loop = TcpLoop::Create(
        {.index = loops_.size(), .attach_patience = options_.attach_patience}, context,
        clock_);
    if (!loop.ok()) return loop.status();
    loops_.push_back(*std::move(loop));
  }
  return loops_[0]->Watch(listener_.get(), [this] { AcceptConnections(); });
}

TcpServer::~TcpServer() {
  loops_.clear();
  for (TcpLaneTable::Done& done : lanes_.TakeFences()) std::move(done)();
}

std::string TcpServer::listen_address() const { return FormatHostPort(listening_); }

absl::Status TcpServer::Export(const Region& region) {
  // The gate hands out the bytes themselves.
  (void)region;
  return absl::OkStatus();
}

absl::StatusOr<std::string> TcpServer::Accept(SessionId session, LaneId lane,
                                              std::string_view hello) {
  if (absl::Status status = CheckTcpHello(hello); !status.ok()) return status;
  TcpOffer offer{.address = advertised_};
  SecureRandom(offer.nonce);
  absl::Status offered = lanes_.Offer({.session = session, .lane = lane}, offer.nonce,
                                      clock_->Now() + options_.attach_patience);
  if (!offered.ok()) return offered;
  return EncodeTcpOffer(offer);
}

void TcpServer::Fence(const FenceTarget& target, absl::AnyInvocable<void() &&> done) {
  TcpLaneTable::FencePlan plan = lanes_.BeginFence(target, std::move(done));
  for (const TcpPlace& place : plan.places) {
    loops_[place.loop]->Cut(place.connection, target.scope, plan.fence);
  }
  if (plan.done != nullptr) std::move(plan.done)();
}

bool TcpServer::Push(SessionId session, LaneId lane, std::span<PushItem> items) {
  const TcpLaneKey key = {.session = session, .lane = lane};
  std::vector<TcpSendQueue::Block> blocks;
  blocks.reserve(items.size());
  uint64_t total_bytes = 0;
  for (const PushItem& item : items) {
    if (item.size_bytes == 0 || item.size_bytes > kMaxBlockBytes) return false;
    blocks.push_back({.lane = key,
                      .lease = item.lease,
                      .sealed = item.sealed,
                      .length_bytes = item.size_bytes});
    total_bytes += item.size_bytes;
  }
  TcpPlace place;
  TcpSendQueue* const queue = lanes_.Pin(key, &place);
  if (queue == nullptr) return false;
  const bool added = queue->AddBlocks(std::move(blocks));
  if (added && total_bytes <= kPushHereBytesMax) {
    FlushPinned(queue, place);
  } else if (added) {
    loops_[place.loop]->Wake(place.connection);
  }
  if (lanes_.Unpin(key)) loops_[place.loop]->Reap(place.connection);
  return added;
}

void TcpServer::FlushPinned(TcpSendQueue* queue, const TcpPlace& place) {
  // kBlocked goes on by itself when the socket has room; kBroken has shut the socket,
  // which its loop is told by the kernel.
  const TcpSendQueue::Result result = queue->Flush(kPushHereBudgetBytes);
  const bool room_made = queue->TakeRoomMade();
  if (room_made || result == TcpSendQueue::Result::kMore) {
    loops_[place.loop]->Wake(place.connection);
  }
}

void TcpServer::Poll(size_t loop, std::chrono::milliseconds wait_max) {
  loops_[loop]->Poll(wait_max);
}

TransportStats TcpServer::stats() const {
  const auto read = [](const std::atomic<uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  return {.lanes = lanes_.attached(),
          .read_bytes_total = read(counters_.read_bytes),
          .written_bytes_total = read(counters_.written_bytes),
          .read_ops_total = read(counters_.read_ops),
          .written_ops_total = read(counters_.written_ops),
          .refused_frames_total = read(counters_.refused_frames)};
}

void TcpServer::AcceptConnections() {
  while (true) {
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) {
      // Out of descriptors counts as nothing to accept: the loop comes again.
      if (errno == ECONNABORTED || errno == EINTR) continue;
      return;
    }
    if (connections() >= options_.connections_max) continue;  // Closes it.
    if (!TuneLaneSocket(fd.get(), options_.socket).ok()) continue;
    TuneConnection(fd.get());
    const auto least = std::min_element(
        loops_.begin(), loops_.end(),
        [](const auto& a, const auto& b) { return a->connections() < b->connections(); });
    (*least)->Adopt(std::move(fd));
  }
}

size_t TcpServer::connections() const {
  size_t total = 0;
  for (const auto& loop : loops_) total += loop->connections();
  return total;
}

}  // namespace kvasir
