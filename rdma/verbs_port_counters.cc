#include "rdma/verbs_port_counters.h"

#include <fmt/core.h>

#include <fstream>
#include <initializer_list>

namespace kvasir {
namespace {

// The standard's counters of bytes count words of four.
constexpr uint64_t kWordBytes = 4;

// The first of `names` that holds a number.
std::optional<uint64_t> ReadFirst(const std::string& port_folder,
                                  std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    std::ifstream file(fmt::format("{}/{}", port_folder, name));
    uint64_t value = 0;
    if (file >> value) return value;
  }
  return std::nullopt;
}

std::optional<uint64_t> InBytes(std::optional<uint64_t> words) {
  if (!words.has_value()) return std::nullopt;
  return *words * kWordBytes;
}

}  // namespace

VerbsPortCounters ReadVerbsPortCounters(const VerbsPort& port, std::string_view folder) {
  const std::string at = fmt::format("{}/{}/ports/{}", folder, port.device, port.port);
  return {
      .bytes_in = InBytes(ReadFirst(at, {"counters/port_rcv_data"})),
      .bytes_out = InBytes(ReadFirst(at, {"counters/port_xmit_data"})),
      .packets_in = ReadFirst(at, {"counters/port_rcv_packets", "hw_counters/rcvd_pkts"}),
      .packets_out = ReadFirst(at, {"counters/port_xmit_packets", "hw_counters/sent_pkts"}),
      .reads = ReadFirst(at, {"hw_counters/rx_read_requests"}),
      .writes = ReadFirst(at, {"hw_counters/rx_write_requests"}),
  };
}

}  // namespace kvasir
