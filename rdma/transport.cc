#include "rdma/transport.h"

#include <fmt/core.h>

namespace kvasir {

std::string_view TransportName(TransportKind kind) {
  switch (kind) {
    case TransportKind::kRdma: return "rdma";
    case TransportKind::kShm: return "shm";
    case TransportKind::kTcp: return "tcp";
  }
  return "unknown";
}

absl::StatusOr<TransportKind> ParseTransport(std::string_view text) {
  for (const TransportKind kind :
       {TransportKind::kRdma, TransportKind::kShm, TransportKind::kTcp}) {
    if (text == TransportName(kind)) return kind;
  }
  return absl::InvalidArgumentError(
      fmt::format("parse transport: \"{}\" is not one of rdma, shm, tcp", text));
}

absl::Status Lane::Send(std::string_view) {
  return absl::InvalidArgumentError("send message: this lane carries none");
}

absl::StatusOr<std::optional<std::string_view>> Lane::Receive(Instant) {
  return absl::InvalidArgumentError("receive message: this lane carries none");
}

}  // namespace kvasir
