#ifndef KVASIR_SERVICE_NODE_VIEW_H_
#define KVASIR_SERVICE_NODE_VIEW_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/region.h"
#include "rdma/transport.h"
#include "rdma/verbs_port_counters.h"
#include "service/config.h"
#include "service/kv_core.h"
#include "service/lease_table.h"
#include "service/metrics.h"
#include "service/node_tier.h"
#include "service/request_metrics.h"
#include "storage/tiered_store.h"

namespace kvasir {

// How a node is, for /healthz, /readyz, GetNodeInfo and `kvasir info`.
struct Health {
  // The worst: FAILED, FENCE_STUCK, DRAINING, RECOVERING, STARTING, or the tier's:
  // MEMORY_ONLY, DB_READ_ONLY, DB_SLOW, with which the node serves on.
  std::string state = "HEALTHY";
  std::vector<std::string> reasons;  // one a state that is not HEALTHY
  bool live = true;                  // false: a restart would help
  bool ready = true;                 // false: send no new clients here
};

// What the services that show the node see of it. Filled by Node before anything
// listens, and constant from then on, except what is atomic. Nothing is owned; all
// outlives every service.
struct NodeView {
  const Config* config = nullptr;
  const Clock* clock = nullptr;
  const Region* region = nullptr;
  TieredStore* store = nullptr;
  const NodeTier* tier = nullptr;  // null: no data_dir
  LeaseTable* leases = nullptr;
  KvCore* core = nullptr;
  RequestMetrics* requests = nullptr;
  std::vector<ServerTransport*> transports;  // best first
  std::vector<VerbsPort> rails;  // of rdma, if it is offered
  Epoch epoch{};
  Instant started;
  // Real addresses, with the ports that were free.
  ListenAddress listen, data_listen, http_listen;
  // When the reaper last ran, as nanoseconds of `clock`. Only compared with now.
  std::atomic<int64_t> reaped_ns{0};
  // The tier's database is being opened.
  std::atomic<bool> recovering{false};
  // Set once everything listens.
  std::atomic<bool> serving{false};

  Health health() const;
  NodeStats stats() const;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_NODE_VIEW_H_
