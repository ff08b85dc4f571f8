#ifndef KVASIR_SERVICE_NODE_TRANSPORTS_H_
#define KVASIR_SERVICE_NODE_TRANSPORTS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/region.h"
#include "rdma/transport.h"
#include "rdma/verbs_port_counters.h"
#include "service/config.h"
#include "service/listen_address.h"

namespace kvasir {

// The transports that a node offers.
struct NodeTransports {
  std::vector<std::unique_ptr<ServerTransport>> offered;  // best first
  ListenAddress data_listen;  // of tcp, with its real port; empty: not offered
  std::vector<VerbsPort> rails;  // of rdma; empty: not offered

  std::vector<ServerTransport*> pointers() const;
};

// Makes the transports that `config` asks for and exports `region` through each. With
// `auto`, shm is left out with a warning where it does not work, rdma unless a device was
// named, and tcp must.
// Errors name the setting. None of the pointers is owned; all must outlive the
// transports.
absl::StatusOr<NodeTransports> MakeTransports(const Config& config, const Region& region,
                                              Gate* gate, const Clock* clock);

}  // namespace kvasir

#endif  // KVASIR_SERVICE_NODE_TRANSPORTS_H_
