#ifndef KVASIR_RDMA_VERBS_PORT_COUNTERS_H_
#define KVASIR_RDMA_VERBS_PORT_COUNTERS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kvasir {

// Where the kernel shows its RDMA devices.
inline constexpr std::string_view kRdmaDevicesFolder = "/sys/class/infiniband";

struct VerbsPort {
  std::string device;
  uint8_t port = 0;
};

// What a NIC's port says that it has moved since the driver was loaded, for everybody who
// uses it: a server's CPU sees no byte of RDMA. Headers and repeats count. "in" is towards
// this host, so what peers WRITE here. Nothing where the driver does not tell: soft-RoCE
// counts packets alone.
struct VerbsPortCounters {
  std::optional<uint64_t> bytes_in, bytes_out;
  std::optional<uint64_t> packets_in, packets_out;
  std::optional<uint64_t> reads, writes;  // requests of peers, which the NIC has served
};

// Reads a few small files, from which some drivers ask the NIC. Names are those of
// Documentation/ABI/stable/sysfs-class-infiniband, and of the drivers mlx5 (requests) and
// rdma_rxe. Thread-safe.
VerbsPortCounters ReadVerbsPortCounters(const VerbsPort& port,
                                        std::string_view folder = kRdmaDevicesFolder);

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_PORT_COUNTERS_H_
