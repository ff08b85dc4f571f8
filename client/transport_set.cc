#include "client/transport_set.h"

#include <fmt/core.h>

#include <utility>

#include "base/log.h"
#include "client/staging_pool.h"
#include "rdma/shm_client.h"
#include "rdma/tcp_client.h"
#include "rdma/verbs_client.h"
#include "rdma/verbs_options.h"

namespace kvasir {
namespace {

class Handle final : public MemoryHandle {
 public:
  Handle(std::span<std::byte> bytes, std::vector<std::unique_ptr<MemoryRegion>> regions)
      : bytes_(bytes), regions_(std::move(regions)) {}
  std::span<std::byte> bytes() const override { return bytes_; }

 private:
  const std::span<std::byte> bytes_;
  const std::vector<std::unique_ptr<MemoryRegion>> regions_;  // one a transport
};

// Stands in for rdma where it was asked for and cannot be had: says why, always.
class MissingRdma final : public ClientTransport {
 public:
  explicit MissingRdma(absl::Status why) : why_(std::move(why)) {}
  TransportKind kind() const override { return TransportKind::kRdma; }
  absl::StatusOr<std::unique_ptr<MemoryRegion>> Register(std::span<std::byte>) override {
    return why_;
  }
  absl::StatusOr<std::unique_ptr<Lane>> Connect(Rendezvous, Instant) override {
    return why_;
  }

 private:
  const absl::Status why_;
};

bool Allows(TransportChoice choice, TransportKind kind) {
  switch (choice) {
    case TransportChoice::kAuto:
      return true;
    case TransportChoice::kRdma:
      return kind == TransportKind::kRdma;
    case TransportChoice::kShm:
      return kind == TransportKind::kShm;
    case TransportChoice::kTcp:
      return kind == TransportKind::kTcp;
  }
  return false;
}

}  // namespace

TransportSet::TransportSet(const ClientOptions& options, std::span<const std::string> hosts,
                           const Clock* clock)
    : choice_(options.transport), clock_(clock) {
  if (Allows(choice_, TransportKind::kShm)) shm_ = ShmClient::Create({}, clock);
  if (Allows(choice_, TransportKind::kRdma)) AddRdma(options);
  if (!Allows(choice_, TransportKind::kTcp)) return;
  for (const std::string& host : hosts) {
    const TcpClient::Options options{.host_if_unnamed = host, .socket = {}};
    tcp_.push_back(std::make_unique<TcpClient>(options, clock));
  }
}

void TransportSet::AddRdma(const ClientOptions& options) {
  VerbsDeviceOptions devices{.port = options.rdma_port};
  // CheckOptions has looked.
  devices.devices = ParseVerbsDevices(options.rdma_device).value_or(devices.devices);
  if (options.rdma_gid_index >= 0) {
    devices.gid_index = static_cast<uint32_t>(options.rdma_gid_index);
  }
  absl::StatusOr<std::unique_ptr<VerbsClient>> made = VerbsClient::Create(devices, clock_);
  if (made.ok()) {
    Log(LogLevel::kInfo, fmt::format("rdma: {}", (*made)->Describe()));
    auto staging = std::make_unique<StagingTransport>(
        *std::move(made),
        StagingPool::Options{.buffers_max = options.staging_buffers,
                             .buffer_bytes = options.staging_buffer_bytes},
        clock_);
    staging_ = staging.get();
    rdma_ = std::move(staging);
  } else if (choice_ == TransportChoice::kRdma) {
    rdma_ = std::make_unique<MissingRdma>(made.status());
  } else if (!options.rdma_device.empty()) {
    Log(LogLevel::kWarning, std::string(made.status().message()));
  }
}

TransportSet::~TransportSet() = default;

std::vector<ClientTransport*> TransportSet::Ladder(size_t node) const {
  std::vector<ClientTransport*> ladder;
  if (shm_ != nullptr) ladder.push_back(shm_.get());
  if (rdma_ != nullptr) ladder.push_back(rdma_.get());
  if (!tcp_.empty()) ladder.push_back(tcp_[node].get());
  return ladder;
}

absl::StatusOr<std::unique_ptr<MemoryHandle>> TransportSet::Register(
    std::span<std::byte> memory) const {
  std::vector<std::unique_ptr<MemoryRegion>> regions;
  // tcp keeps nothing for it, so the first host speaks for all.
  for (ClientTransport* const transport : Ladder(0)) {
    absl::StatusOr<std::unique_ptr<MemoryRegion>> region = transport->Register(memory);
    if (!region.ok() && choice_ == TransportChoice::kAuto) {
      Log(LogLevel::kWarning, fmt::format("{} stages what it cannot register: {}",
                                          TransportName(transport->kind()),
                                          std::string(region.status().message())));
      continue;
    }
    if (!region.ok()) return region.status();
    regions.push_back(*std::move(region));
  }
  return std::make_unique<Handle>(memory, std::move(regions));
}

}  // namespace kvasir
