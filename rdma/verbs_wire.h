#ifndef KVASIR_RDMA_VERBS_WIRE_H_
#define KVASIR_RDMA_VERBS_WIRE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/extent.h"
#include "base/ids.h"

// What the halves of the rdma transport tell each other when a lane opens. The rendezvous
// carries it; docs/transports.md has the layout.
namespace kvasir {

inline constexpr size_t kVerbsRailsMax = 4;    // NICs a lane
inline constexpr size_t kVerbsRegionsMax = 2;  // a server's, so that an offer fits
inline constexpr size_t kVerbsChunksMax = 8;   // registrations a region and kind of access

using VerbsGid = std::array<std::byte, 16>;

// One side of one rail: a NIC's port and the two queue pairs of the lane on it.
struct VerbsRail {
  VerbsGid gid{};
  uint16_t lid = 0;         // of an InfiniBand port; 0: the gid is the address
  uint32_t mtu_bytes = 0;   // 256, 512, ... 4096. In an offer: the one to use
  uint32_t reads_max = 0;   // READs in flight, 1 to 255. In an offer: as many as allowed
  uint32_t read_qp = 0;     // number of the queue pair for READs, 24 bits
  uint32_t write_qp = 0;    // ... and of the one for WRITEs
  uint32_t read_psn = 0;    // first sequence number that this side sends there, 24 bits
  uint32_t write_psn = 0;

  // In an offer: the server could not connect this one. No queue pair that connects has
  // the number 0.
  bool left_out() const { return read_qp == 0; }

  friend bool operator==(const VerbsRail&, const VerbsRail&) = default;
};

struct VerbsHello {
  std::vector<VerbsRail> rails;
};

// The remote keys of one registered piece of a region on one rail's NIC.
struct VerbsKeys {
  uint32_t read = 0;   // admits READ only
  uint32_t write = 0;  // admits WRITE only

  friend bool operator==(const VerbsKeys&, const VerbsKeys&) = default;
};

// A region as a NIC knows it: chunk i is [i * chunk_bytes, (i + 1) * chunk_bytes) of it.
struct VerbsRegion {
  RegionId id{};
  uint64_t address = 0;
  uint64_t size_bytes = 0;
  uint64_t chunk_bytes = 0;
  std::vector<VerbsKeys> keys;  // [rails * chunks], rail by rail

  size_t chunks() const {
    return static_cast<size_t>((size_bytes - 1) / chunk_bytes) + 1;
  }
};

struct VerbsOffer {
  SessionId session;
  LaneId lane{};
  // Messages go to the queue pair for READs of rail 0.
  bool takes_messages = false;
  std::vector<VerbsRail> rails;  // rails[i] is to talk to rails[i] of the hello
  std::vector<VerbsRegion> regions;
};

// REQUIRES: the bounds above.
std::string EncodeVerbsHello(const VerbsHello& hello);
std::string EncodeVerbsOffer(const VerbsOffer& offer);
// InvalidArgument for bytes that are none, or that break a bound or a field's range.
absl::StatusOr<VerbsHello> DecodeVerbsHello(std::string_view bytes);
absl::StatusOr<VerbsOffer> DecodeVerbsOffer(std::string_view bytes);

// An address of the other side's memory as WRITE and READ want it.
struct VerbsPlace {
  uint64_t address = 0;
  size_t region = 0;           // position in the offer
  size_t chunk = 0;            // within the region
  uint64_t bytes_in_chunk = 0;  // from here to its end
};
// Where byte `offset_bytes` of `region` is. PermissionDenied if no such byte was offered.
absl::StatusOr<VerbsPlace> FindVerbsPlace(const std::vector<VerbsRegion>& regions,
                                          RegionId region, uint64_t offset_bytes);

// In how large pieces to register a region: at most kVerbsChunksMax of whole GiB each.
uint64_t VerbsChunkBytes(uint64_t region_bytes);

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_WIRE_H_
