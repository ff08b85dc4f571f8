#ifndef KVASIR_RDMA_VERBS_GID_H_
#define KVASIR_RDMA_VERBS_GID_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "rdma/verbs_wire.h"

namespace kvasir {

enum class VerbsGidKind : uint8_t { kInfiniBand, kRoceV1, kRoceV2 };

// One row of a port's table of addresses.
struct VerbsGidEntry {
  uint32_t index = 0;
  VerbsGidKind kind = VerbsGidKind::kInfiniBand;
  VerbsGid gid{};
};

// The address that an Ethernet port should speak from: the row `wanted`, or the best that
// can be routed: RoCE v2 with an IPv4 address, then with an IPv6 one, then link-local.
// FailedPrecondition, with what there is, if there is none: RoCE v1 does not count.
absl::StatusOr<VerbsGidEntry> ChooseGid(std::span<const VerbsGidEntry> entries,
                                        std::optional<uint32_t> wanted);

// "10.1.0.1" for a mapped IPv4 address, else IPv6 (RFC 5952).
std::string FormatGid(const VerbsGid& gid);

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_GID_H_
