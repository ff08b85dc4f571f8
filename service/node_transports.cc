#include "service/node_transports.h"

#include <fmt/core.h>

#include <string>
#include <utility>

#include "base/log.h"
#include "rdma/shm_server.h"
#include "rdma/tcp_server.h"

namespace kvasir {
namespace {

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

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

absl::Status Add(TransportKind kind, const Parts& parts, NodeTransports* to) {
  switch (kind) {
    case TransportKind::kShm:
      return AddShm(parts, to);
    case TransportKind::kTcp:
      return AddTcp(parts, to);
    case TransportKind::kRdma:
      break;
  }
  return absl::UnimplementedError("transport: rdma is not in this build yet");
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
  if (absl::Status tcp = Add(TransportKind::kTcp, parts, &made); !tcp.ok()) return tcp;
  return made;
}

}  // namespace kvasir
