#include "client/transport_set.h"

#include <utility>

#include "rdma/shm_client.h"
#include "rdma/tcp_client.h"

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

TransportSet::TransportSet(TransportChoice choice, std::span<const std::string> hosts,
                           const Clock* clock) {
  if (Allows(choice, TransportKind::kShm)) shm_ = ShmClient::Create({}, clock);
  if (!Allows(choice, TransportKind::kTcp)) return;
  for (const std::string& host : hosts) {
    const TcpClient::Options options{.host_if_unnamed = host, .socket = {}};
    tcp_.push_back(std::make_unique<TcpClient>(options, clock));
  }
}

TransportSet::~TransportSet() = default;

std::vector<ClientTransport*> TransportSet::Ladder(size_t node) const {
  std::vector<ClientTransport*> ladder;
  if (shm_ != nullptr) ladder.push_back(shm_.get());
  if (!tcp_.empty()) ladder.push_back(tcp_[node].get());
  return ladder;
}

absl::StatusOr<std::unique_ptr<MemoryHandle>> TransportSet::Register(
    std::span<std::byte> memory) const {
  std::vector<std::unique_ptr<MemoryRegion>> regions;
  // Neither pins or maps anything for it, so the first host speaks for all.
  for (ClientTransport* const transport : Ladder(0)) {
    absl::StatusOr<std::unique_ptr<MemoryRegion>> region = transport->Register(memory);
    if (!region.ok()) return region.status();
    regions.push_back(*std::move(region));
  }
  return std::make_unique<Handle>(memory, std::move(regions));
}

}  // namespace kvasir
