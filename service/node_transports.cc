#include "service/node_transports.h"

#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/executor.h"
#include "base/log.h"
#include "rdma/shm_server.h"
#include "rdma/tcp_server.h"
#include "rdma/verbs_options.h"
#include "rdma/verbs_server.h"

namespace kvasir {
namespace {

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

// Pinning pages is bound by the kernel, a few of its threads' worth at a time.
constexpr size_t kRegisteringThreads = 4;
constexpr size_t kMaxJobs = 2 * kVerbsChunksMax * kVerbsRailsMax;
// So many take queue pairs away, and as many take messages; none moves bytes.
constexpr size_t kRdmaLoopsMax = 2;

// What every maker needs.
struct Parts {
  const Config& config;
  const Region& region;
  Gate* gate;
  const Clock* clock;
};

absl::Status AddShm(const Parts& parts, NodeTransports* to) {
  auto made = ShmServer::Create(
      {.directory = parts.config.shm_dir, .loops = parts.config.data_loops}, parts.gate,
      parts.clock);
  if (!made.ok()) {
    return absl::Status(made.status().code(),
                        fmt::format("shm_dir: {}", MessageOf(made.status())));
  }
  if (absl::Status exported = (*made)->Export(parts.region); !exported.ok())
    return exported;
  to->offered.push_back(*std::move(made));
  return absl::OkStatus();
}

absl::Status AddTcp(const Parts& parts, NodeTransports* to) {
  auto made = TcpServer::Create(
      {.listen = parts.config.data_listen.ToString(), .loops = parts.config.data_loops},
      parts.gate, parts.clock);
  if (!made.ok()) {
    return absl::Status(made.status().code(),
                        fmt::format("data_listen: {}", MessageOf(made.status())));
  }
  if (absl::Status exported = (*made)->Export(parts.region); !exported.ok())
    return exported;
  auto address = ListenAddress::Parse((*made)->listen_address());
  if (!address.ok()) return address.status();
  to->data_listen = *std::move(address);
  to->offered.push_back(*std::move(made));
  return absl::OkStatus();
}

VerbsDeviceOptions DevicesOf(const Config& config) {
  VerbsDeviceOptions options{.port = config.rdma_port};
  // The setting's parser has looked.
  options.devices = ParseVerbsDevices(config.rdma_device).value_or(options.devices);
  if (config.rdma_gid_index >= 0) {
    options.gid_index = static_cast<uint32_t>(config.rdma_gid_index);
  }
  return options;
}

absl::Status AddRdma(const Parts& parts, NodeTransports* to) {
  // Only while the region is registered.
  ThreadPool registrars(
      {.name = "kv-register", .threads = kRegisteringThreads, .queue_tasks_max = kMaxJobs});
  auto made = VerbsServer::Create(
      {.devices = DevicesOf(parts.config),
       .loops = std::min<size_t>(parts.config.data_loops, kRdmaLoopsMax),
       .registrar = &registrars});
  if (!made.ok()) return made.status();
  Log(LogLevel::kInfo, fmt::format("rdma: {}", (*made)->Describe()));
  if (absl::Status exported = (*made)->Export(parts.region); !exported.ok())
    return exported;
  to->rails = (*made)->ports();
  to->offered.push_back(*std::move(made));
  return absl::OkStatus();
}

absl::Status Add(TransportKind kind, const Parts& parts, NodeTransports* to) {
  switch (kind) {
    case TransportKind::kShm:
      return AddShm(parts, to);
    case TransportKind::kTcp:
      return AddTcp(parts, to);
    case TransportKind::kRdma:
      return AddRdma(parts, to);
  }
  return absl::InvalidArgumentError("transport: unknown");
}

}  // namespace

std::vector<ServerTransport*> NodeTransports::pointers() const {
  std::vector<ServerTransport*> raw;
  for (const auto& transport : offered) raw.push_back(transport.get());
  return raw;
}

absl::StatusOr<NodeTransports> MakeTransports(const Config& config, const Region& region,
                                              Gate* gate, const Clock* clock) {
  const Parts parts{config, region, gate, clock};
  NodeTransports made;
  if (config.transport.has_value()) {
    absl::Status added = Add(*config.transport, parts, &made);
    if (!added.ok()) return added;
    return made;
  }
  // tcp must work: it is the one that every client can use, and its port was asked for.
  const absl::Status shm = Add(TransportKind::kShm, parts, &made);
  if (!shm.ok()) {
    Log(LogLevel::kWarning,
        fmt::format("transport shm is not offered: {}", MessageOf(shm)));
  }
  // A host without a device is no news, but one that was named should be there.
  const absl::Status rdma = Add(TransportKind::kRdma, parts, &made);
  if (!rdma.ok() && !config.rdma_device.empty()) return rdma;
  if (!rdma.ok()) {
    Log(LogLevel::kInfo, fmt::format("transport rdma is not offered: {}", MessageOf(rdma)));
  }
  if (absl::Status tcp = Add(TransportKind::kTcp, parts, &made); !tcp.ok()) return tcp;
  return made;
}

}  // namespace kvasir
