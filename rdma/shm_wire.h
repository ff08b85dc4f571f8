#ifndef KVASIR_RDMA_SHM_WIRE_H_
#define KVASIR_RDMA_SHM_WIRE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/extent.h"
#include "base/limits.h"

// What the two halves of the shm transport say to each other. The hello and the offer
// travel on the lane's control stream. The packets travel on a SOCK_SEQPACKET unix
// socket, one a datagram, so there is no framing to lose. Both ends are on one host:
// integers are in host order. docs/transports.md has the dialogue.
namespace kvasir {

// Most bytes that one put packet names: bounds one copy, and so the wait of a fence.
inline constexpr uint64_t kShmPieceBytesMax = 1 * kMiB;
inline constexpr uint64_t kShmRingBytesMin = 64 * kKiB;
inline constexpr uint64_t kShmRingBytesMax = 64 * kMiB;
// Puts sent and not yet acknowledged on one lane. The acknowledgements of all of them
// fit into the socket's buffer, so the server never waits for a client to read.
inline constexpr size_t kShmPutsInFlightMax = 32;
inline constexpr size_t kShmRegionsMax = 64;  // well below the 253 that SCM_RIGHTS takes
inline constexpr size_t kShmSealedBytesMax = 256;
inline constexpr size_t kShmPacketBytesMax = 2048;

// 128 random bits: names one offer, or one server, for as long as it lives.
using ShmNonce = std::array<std::byte, 16>;
ShmNonce RandomShmNonce();

// The client's hello: which host it is on.
struct ShmHello {
  std::string boot_id;  // /proc/sys/kernel/random/boot_id
};
// The content of that file: one value a boot of a host, the same in all its containers.
// Empty if it cannot be read.
std::string ReadBootId();

// The server's offer: where to connect, and what to say there, once.
struct ShmOffer {
  ShmNonce nonce{};
  std::string socket_path;
};

// Client to server, first packet.
struct ShmGreet {
  ShmNonce nonce{};
};
// Server to client, in answer to a greet. With it come the descriptors of the ring and
// of each region, in this order.
struct ShmWelcome {
  struct RegionEntry {
    RegionId id{};
    uint64_t size_bytes = 0;
  };
  ShmNonce server{};
  uint64_t ring_bytes = 0;
  std::vector<RegionEntry> regions;
};
// Server to client, instead of a welcome; then it hangs up.
struct ShmRefuse {
  absl::StatusCode code = absl::StatusCode::kUnavailable;
  std::string reason;
};
// Client to server: ring[ring_offset, ring_offset + length) belongs at
// [block_offset, block_offset + length) of the block that `sealed` grants.
struct ShmPut {
  uint64_t sequence = 0;
  uint64_t block_bytes = 0;  // what the client takes the block's size for
  uint64_t block_offset_bytes = 0;
  uint64_t ring_offset_bytes = 0;
  uint32_t length_bytes = 0;
  std::string_view sealed;  // points into the packet
};
// Server to client, one a put and in their order: the ring bytes are free again.
struct ShmAck {
  uint64_t sequence = 0;
  absl::StatusCode code = absl::StatusCode::kOk;
};

std::string EncodeShm(const ShmHello& hello);
std::string EncodeShm(const ShmOffer& offer);
std::string EncodeShm(const ShmGreet& greet);
std::string EncodeShm(const ShmWelcome& welcome);
std::string EncodeShm(const ShmRefuse& refuse);
std::string EncodeShm(const ShmPut& put);
std::string EncodeShm(const ShmAck& ack);

// InvalidArgument unless `bytes` is exactly one message of the kind.
absl::StatusOr<ShmHello> DecodeShmHello(std::string_view bytes);
absl::StatusOr<ShmOffer> DecodeShmOffer(std::string_view bytes);
absl::StatusOr<ShmGreet> DecodeShmGreet(std::string_view bytes);
// The status of a refusal, if that is what came.
absl::StatusOr<ShmWelcome> DecodeShmWelcome(std::string_view bytes);
absl::StatusOr<ShmPut> DecodeShmPut(std::string_view bytes);
absl::StatusOr<ShmAck> DecodeShmAck(std::string_view bytes);

}  // namespace kvasir

#endif  // KVASIR_RDMA_SHM_WIRE_H_
