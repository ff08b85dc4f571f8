#ifndef KVASIR_RDMA_VERBS_OPTIONS_H_
#define KVASIR_RDMA_VERBS_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace kvasir {

// Which NICs to use, and how.
struct VerbsDeviceOptions {
  // Rails in order, as ibv_devices names them; rail i of a client talks to rail i of a
  // server. Empty: one rail, the first device that has an active port.
  std::vector<std::string> devices;
  uint32_t port = 0;                  // 0: the first active one
  std::optional<uint32_t> gid_index;  // nothing: the best RoCE v2 address
  uint32_t mtu_bytes_max = 4096;      // of a packet on the wire
};

// "mlx5_0,mlx5_1" as a list; "" is an empty one. InvalidArgument if a name is empty, comes
// twice, or there are more than kVerbsRailsMax.
absl::StatusOr<std::vector<std::string>> ParseVerbsDevices(std::string_view text);

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_OPTIONS_H_
