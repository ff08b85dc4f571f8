#include "rdma/tcp_client.h"

#include <utility>

#include "base/fd.h"
#include "rdma/tcp_lane.h"
#include "rdma/tcp_offer.h"

namespace kvasir {
namespace {

class PlainMemory final : public MemoryRegion {
 public:
  explicit PlainMemory(std::span<std::byte> bytes) : bytes_(bytes) {}
  std::span<std::byte> bytes() const override { return bytes_; }

 private:
  const std::span<std::byte> bytes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MemoryRegion>> TcpClient::Register(
    std::span<std::byte> memory) {
  return std::make_unique<PlainMemory>(memory);
}

absl::StatusOr<std::unique_ptr<Lane>> TcpClient::Connect(Rendezvous rendezvous,
                                                         Instant deadline) {
  const absl::StatusOr<std::string> text = rendezvous(EncodeTcpHello());
  if (!text.ok()) return text.status();
  absl::StatusOr<TcpOffer> offer = DecodeTcpOffer(*text);
  if (!offer.ok()) return offer.status();
  if (offer->address.host.empty()) offer->address.host = options_.host_if_unnamed;
  absl::StatusOr<UniqueFd> fd =
      ConnectTcp(offer->address, options_.socket, clock_, deadline);
  if (!fd.ok()) return fd.status();
  auto lane = std::make_unique<TcpLane>(*std::move(fd), clock_);
  if (absl::Status attached = lane->Attach(offer->nonce, deadline); !attached.ok()) {
    return attached;
  }
  return lane;
}

}  // namespace kvasir
