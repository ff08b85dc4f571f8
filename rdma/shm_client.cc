#include "rdma/shm_client.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "rdma/shm_lane.h"
#include "rdma/shm_listener.h"
#include "rdma/shm_mapping.h"
#include "rdma/shm_packet.h"
#include "rdma/shm_region_cache.h"
#include "rdma/shm_wire.h"

namespace kvasir {
namespace {

// Memory that any copy can reach needs no registration.
class PlainMemory final : public MemoryRegion {
 public:
  explicit PlainMemory(std::span<std::byte> bytes) : bytes_(bytes) {}
  std::span<std::byte> bytes() const override { return bytes_; }

 private:
  const std::span<std::byte> bytes_;
};

struct Welcomed {
  ShmWelcome welcome;
  std::vector<UniqueFd> fds;  // the ring's, then one a region
};

class ShmClientTransport final : public ClientTransport {
 public:
  ShmClientTransport(const ShmClient::Options& options, const Clock* clock)
      : options_(options), clock_(clock) {}

  TransportKind kind() const override { return TransportKind::kShm; }
  absl::StatusOr<std::unique_ptr<MemoryRegion>> Register(
      std::span<std::byte> memory) override {
    return std::make_unique<PlainMemory>(memory);
  }
  absl::StatusOr<std::unique_ptr<Lane>> Connect(Rendezvous rendezvous,
                                                Instant deadline) override;

 private:
  absl::StatusOr<std::unique_ptr<Lane>> Open(const ShmOffer& offer, Instant deadline);
  absl::StatusOr<Welcomed> AwaitWelcome(int socket, Instant deadline) const;
  absl::StatusOr<std::vector<ShmRegionCache::Ref>> MapRegions(const Welcomed& welcomed,
                                                              Instant deadline);

  const ShmClient::Options options_;
  const Clock* const clock_;
  ShmRegionCache cache_;
};

// What the contract of Connect has no word for is "this server cannot be reached".
absl::Status AsConnectStatus(const absl::Status& status) {
  if (absl::IsFailedPrecondition(status) || absl::IsDeadlineExceeded(status))
    return status;
  return absl::UnavailableError(status.message());
}

absl::StatusOr<std::unique_ptr<Lane>> ShmClientTransport::Connect(Rendezvous rendezvous,
                                                                  Instant deadline) {
  const std::string boot_id = ReadBootId();
  if (boot_id.empty()) {
    return absl::FailedPreconditionError("shm: this host does not tell its boot id");
  }
  const absl::StatusOr<std::string> answer = rendezvous(EncodeShm(ShmHello{boot_id}));
  if (!answer.ok()) return answer.status();
  const absl::StatusOr<ShmOffer> offer = DecodeShmOffer(*answer);
  if (!offer.ok()) return AsConnectStatus(offer.status());
  absl::StatusOr<std::unique_ptr<Lane>> lane = Open(*offer, deadline);
  if (!lane.ok()) return AsConnectStatus(lane.status());
  return lane;
}

absl::StatusOr<std::unique_ptr<Lane>> ShmClientTransport::Open(const ShmOffer& offer,
                                                               Instant deadline) {
  absl::StatusOr<UniqueFd> socket = ConnectShmSocket(offer.socket_path, clock_, deadline);
  if (!socket.ok()) return socket.status();
  // A server that refuses this user has hung up already, but its reason can be read.
  SendShmPacket(socket->get(), EncodeShm(ShmGreet{offer.nonce})).IgnoreError();
  const absl::StatusOr<Welcomed> welcomed = AwaitWelcome(socket->get(), deadline);
  if (!welcomed.ok()) return welcomed.status();
  const uint64_t ring_bytes = welcomed->welcome.ring_bytes;
  if (ring_bytes < kShmRingBytesMin || ring_bytes > kShmRingBytesMax) {
    return absl::UnavailableError(fmt::format("shm: a ring of {} bytes", ring_bytes));
  }
  absl::StatusOr<ShmMapping> ring =
      ShmMapping::Map(welcomed->fds[0].get(),
                      {.size_bytes = ring_bytes, .mode = ShmMapping::Mode::kReadWrite});
  if (!ring.ok()) return ring.status();
  absl::StatusOr<std::vector<ShmRegionCache::Ref>> regions =
      MapRegions(*welcomed, deadline);
  if (!regions.ok()) return regions.status();
  return std::make_unique<ShmLane>(ShmLane::Parts{.socket = *std::move(socket),
                                                  .ring = *std::move(ring),
                                                  .regions = *std::move(regions),
                                                  .clock = clock_});
}

absl::StatusOr<Welcomed> ShmClientTransport::AwaitWelcome(int socket,
                                                          Instant deadline) const {
  std::array<char, kShmPacketBytesMax> buffer;
  Welcomed welcomed;
  absl::Status waited = AwaitShmPacket(socket, clock_, deadline);
  if (!waited.ok()) return waited;
  absl::StatusOr<std::string_view> packet =
      ReceiveShmPacket(socket, buffer, &welcomed.fds);
  // A socket reports once that the peer left without reading our greet, and only then
  // gives what the peer had to say.
  if (!packet.ok()) packet = ReceiveShmPacket(socket, buffer, &welcomed.fds);
  if (!packet.ok()) return packet.status();
  absl::StatusOr<ShmWelcome> welcome = DecodeShmWelcome(*packet);
  if (!welcome.ok()) return welcome.status();
  welcomed.welcome = *std::move(welcome);
  if (welcomed.fds.size() != 1 + welcomed.welcome.regions.size()) {
    return absl::UnavailableError(
        fmt::format("shm: {} descriptors came for {} regions and a ring",
                    welcomed.fds.size(), welcomed.welcome.regions.size()));
  }
  return welcomed;
}

absl::StatusOr<std::vector<ShmRegionCache::Ref>> ShmClientTransport::MapRegions(
    const Welcomed& welcomed, Instant deadline) {
  const Instant now = clock_->Now();
  const Instant stop = now + std::min<BootClock::duration>(options_.populate_time_max,
                                                           (deadline - now) / 2);
  std::vector<ShmRegionCache::Ref> regions;
  for (size_t i = 0; i < welcomed.welcome.regions.size(); ++i) {
    const ShmWelcome::RegionEntry& entry = welcomed.welcome.regions[i];
    absl::StatusOr<ShmRegionCache::Ref> region =
        cache_.Acquire({.server = welcomed.welcome.server, .region = entry.id},
                       welcomed.fds[1 + i].get(), entry.size_bytes);
    if (!region.ok()) return region.status();
    if (region->fresh()) PopulateShmPages(region->bytes(), clock_, stop);
    regions.push_back(*std::move(region));
  }
  return regions;
}

}  // namespace

std::unique_ptr<ClientTransport> ShmClient::Create(const Options& options,
                                                   const Clock* clock) {
  return std::make_unique<ShmClientTransport>(options, clock);
}

}  // namespace kvasir
